// Stage 4 of 10 — push: the 16-byte slot of the ring, headers, operands, lap parity.
// Upstream:   CommandPort.swift
// Downstream: Command.swift
#ifndef PERSEUS_COMMAND_H
#define PERSEUS_COMMAND_H

#include "perseus_base.h"

// A slot is two 64-bit words. Bit 63 of BOTH words is the lap parity, so a slot validates itself
// even when its two halves become visible at different times (a torn 16-byte store).
//
// Header slot
//
//   first   63       62...59  58...57      56...55       54...35   34...0
//           parity   opcode   localRegion  remoteRegion  count     localOffset
//           1        4        2            2             20        35
//
//   second  63       62...49      48...35   34...0
//           parity   destination  flags     remoteOffset
//           1        14           14        35
//
// Operand slot (follows a signalBlock header; carries no opcode)
//
//   first   63 parity | 62...0 operand 2k        second  63 parity | 62...0 operand 2k + 1
//
// | opcode      | count                | localOffset            | remoteOffset  | operand slots |
// |-------------|----------------------|------------------------|---------------|---------------|
// | put         | 16-byte units        | 16-byte units          | 16-byte units | 0             |
// | signalBlock | n signal words       | 0                      | 8-byte words  | ceil(n / 2)   |
// | putSignal   | as put; its own signalBlock is the very next command, claimed with it         |
// | atomicAdd   | 0                    | the addend, 35 bits    | 8-byte words  | 0             |
// | quiet       | 0                    | completion-board index | 0             | 0             |
//
// A signalBlock must not overtake earlier puts to its destination. Its words travel in the ring, so
// no command points at memory whose lifetime somebody has to argue about.

/// One slot as it lies in memory, and one command header with both parity bits clear.
typedef struct perseus_command {
    uint64_t first;
    uint64_t second;
} perseus_command;

/// What a header slot asks for. Zeroed memory reads as `NONE`.
enum perseus_opcode {
    PERSEUS_OPCODE_NONE = 0,
    PERSEUS_OPCODE_PUT = 1,
    PERSEUS_OPCODE_SIGNAL_BLOCK = 2,
    PERSEUS_OPCODE_PUT_SIGNAL = 3,
    PERSEUS_OPCODE_ATOMIC_ADD = 4,
    PERSEUS_OPCODE_QUIET = 5
};

enum {
    PERSEUS_PARITY_SHIFT = 63,

    PERSEUS_OPCODE_SHIFT = 59,
    PERSEUS_OPCODE_WIDTH = 4,
    PERSEUS_LOCAL_REGION_SHIFT = 57,
    PERSEUS_LOCAL_REGION_WIDTH = 2,
    PERSEUS_REMOTE_REGION_SHIFT = 55,
    PERSEUS_REMOTE_REGION_WIDTH = 2,
    PERSEUS_COUNT_SHIFT = 35,
    PERSEUS_COUNT_WIDTH = 20,
    PERSEUS_LOCAL_OFFSET_SHIFT = 0,
    PERSEUS_LOCAL_OFFSET_WIDTH = 35,

    PERSEUS_DESTINATION_SHIFT = 49,
    PERSEUS_DESTINATION_WIDTH = 14,
    PERSEUS_FLAGS_SHIFT = 35,
    PERSEUS_FLAGS_WIDTH = 14,
    PERSEUS_REMOTE_OFFSET_SHIFT = 0,
    PERSEUS_REMOTE_OFFSET_WIDTH = 35
};

enum {
    /// Bytes of one slot.
    PERSEUS_SLOT_BYTE_COUNT = 16,
    /// log2 of the unit of a put's count and offsets: 16 bytes, so 35 bits reach 512 GiB.
    PERSEUS_PUT_UNIT_SHIFT = 4,
    /// log2 of the unit of a signal's remote offset: one 8-byte word.
    PERSEUS_SIGNAL_UNIT_SHIFT = 3,
    /// Most signal words of one signalBlock: with a put before it, 514 slots.
    PERSEUS_MAX_SIGNAL_WORDS = 1023,
    /// Words a reader must have room for: the operands of the largest signalBlock and their
    /// padding.
    PERSEUS_MAX_OPERAND_WORDS = 1024,
    /// Longest put, bytes: 2^20 - 1 units, 16 MiB - 16.
    PERSEUS_MAX_PUT_BYTES = ((1 << 20) - 1) * 16,
    /// The destination of a quiet that covers every destination.
    PERSEUS_DESTINATION_ALL = 0x3FFF,
    /// The destination has nothing more to send in this phase.
    PERSEUS_FLAG_LAST_OF_GROUP = 1 << 0,
    /// Set for combine traffic, clear for dispatch; counters only.
    PERSEUS_FLAG_COMBINE = 1 << 1
};

PERSEUS_STATIC_ASSERT(sizeof(perseus_command) == PERSEUS_SLOT_BYTE_COUNT, "a slot is 16 bytes");
PERSEUS_ASSERT_OFFSET(perseus_command, first, 0);
PERSEUS_ASSERT_OFFSET(perseus_command, second, 8);
PERSEUS_STATIC_ASSERT(
    (int)PERSEUS_LOCAL_OFFSET_SHIFT + PERSEUS_LOCAL_OFFSET_WIDTH == PERSEUS_COUNT_SHIFT
        && (int)PERSEUS_COUNT_SHIFT + PERSEUS_COUNT_WIDTH == PERSEUS_REMOTE_REGION_SHIFT
        && (int)PERSEUS_REMOTE_REGION_SHIFT + PERSEUS_REMOTE_REGION_WIDTH
            == PERSEUS_LOCAL_REGION_SHIFT
        && (int)PERSEUS_LOCAL_REGION_SHIFT + PERSEUS_LOCAL_REGION_WIDTH == PERSEUS_OPCODE_SHIFT
        && (int)PERSEUS_OPCODE_SHIFT + PERSEUS_OPCODE_WIDTH == PERSEUS_PARITY_SHIFT,
    "fields of the first word touch and end below the parity bit");
PERSEUS_STATIC_ASSERT(
    (int)PERSEUS_REMOTE_OFFSET_SHIFT + PERSEUS_REMOTE_OFFSET_WIDTH == PERSEUS_FLAGS_SHIFT
        && (int)PERSEUS_FLAGS_SHIFT + PERSEUS_FLAGS_WIDTH == PERSEUS_DESTINATION_SHIFT
        && (int)PERSEUS_DESTINATION_SHIFT + PERSEUS_DESTINATION_WIDTH == PERSEUS_PARITY_SHIFT,
    "fields of the second word touch and end below the parity bit");
PERSEUS_STATIC_ASSERT(PERSEUS_DESTINATION_ALL == (1 << PERSEUS_DESTINATION_WIDTH) - 1,
    "the quiet-all destination is the highest one");

/// The first word of a header, parity clear. Every field must fit its width; nothing is masked.
PERSEUS_INLINE uint64_t perseus_command_first(
    uint64_t opcode, uint64_t local_region, uint64_t remote_region, uint64_t count,
    uint64_t local_offset) {
    return opcode << PERSEUS_OPCODE_SHIFT | local_region << PERSEUS_LOCAL_REGION_SHIFT
        | remote_region << PERSEUS_REMOTE_REGION_SHIFT | count << PERSEUS_COUNT_SHIFT
        | local_offset << PERSEUS_LOCAL_OFFSET_SHIFT;
}

/// The second word of a header, parity clear. Every field must fit its width; nothing is masked.
PERSEUS_INLINE uint64_t perseus_command_second(
    uint64_t destination, uint64_t flags, uint64_t remote_offset) {
    return destination << PERSEUS_DESTINATION_SHIFT | flags << PERSEUS_FLAGS_SHIFT
        | remote_offset << PERSEUS_REMOTE_OFFSET_SHIFT;
}

PERSEUS_INLINE unsigned perseus_command_opcode(uint64_t first) {
    return (unsigned)perseus_field(first, PERSEUS_OPCODE_SHIFT, PERSEUS_OPCODE_WIDTH);
}

PERSEUS_INLINE unsigned perseus_command_local_region(uint64_t first) {
    return (unsigned)perseus_field(first, PERSEUS_LOCAL_REGION_SHIFT, PERSEUS_LOCAL_REGION_WIDTH);
}

PERSEUS_INLINE unsigned perseus_command_remote_region(uint64_t first) {
    return (unsigned)perseus_field(first, PERSEUS_REMOTE_REGION_SHIFT, PERSEUS_REMOTE_REGION_WIDTH);
}

PERSEUS_INLINE uint32_t perseus_command_count(uint64_t first) {
    return (uint32_t)perseus_field(first, PERSEUS_COUNT_SHIFT, PERSEUS_COUNT_WIDTH);
}

PERSEUS_INLINE uint64_t perseus_command_local_offset(uint64_t first) {
    return perseus_field(first, PERSEUS_LOCAL_OFFSET_SHIFT, PERSEUS_LOCAL_OFFSET_WIDTH);
}

PERSEUS_INLINE unsigned perseus_command_destination(uint64_t second) {
    return (unsigned)perseus_field(second, PERSEUS_DESTINATION_SHIFT, PERSEUS_DESTINATION_WIDTH);
}

PERSEUS_INLINE unsigned perseus_command_flags(uint64_t second) {
    return (unsigned)perseus_field(second, PERSEUS_FLAGS_SHIFT, PERSEUS_FLAGS_WIDTH);
}

PERSEUS_INLINE uint64_t perseus_command_remote_offset(uint64_t second) {
    return perseus_field(second, PERSEUS_REMOTE_OFFSET_SHIFT, PERSEUS_REMOTE_OFFSET_WIDTH);
}

/// Operand slots behind the header whose first word is `first`; 0 for every opcode but signalBlock.
PERSEUS_INLINE uint32_t perseus_command_operand_slots(uint64_t first) {
    return perseus_command_opcode(first) == PERSEUS_OPCODE_SIGNAL_BLOCK
        ? (perseus_command_count(first) + 1) >> 1
        : 0;
}

#endif
