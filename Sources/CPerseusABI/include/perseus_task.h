// Stage 8 of 10 — schedule: a unit of compute, as the scheduler hands it to a processor.
// Upstream:   Scheduler.swift
// Downstream: Processor.swift
#ifndef PERSEUS_TASK_H
#define PERSEUS_TASK_H

#include "perseus_base.h"

/// What a processor is asked to compute.
enum perseus_task_type {
    /// Rows of one routed expert, from dispatchData into resultData.
    PERSEUS_TASK_EXPERT = 0,
    /// Rows of the shared expert, which every token visits and which needs no transfer.
    PERSEUS_TASK_SHARED = 1,
    /// The weighted sum of a range of the owner's tokens.
    PERSEUS_TASK_COMBINE = 2
};

enum {
    /// A tile may span the end of one source's rows and the start of the next one's.
    PERSEUS_TASK_MAX_SEGMENTS = 2
};

/// Consecutive rows of one source's packed order (tokens, for a combine task).
typedef struct perseus_task_segment {
    uint32_t source;
    uint32_t first_row;
    uint32_t rows;
    uint32_t reserved;
} perseus_task_segment;

/// One task: 64 bytes, one line.
typedef struct perseus_task {
    /// A `perseus_task_type`.
    uint32_t type;
    /// Index of the expert on this rank.
    uint32_t expert;
    /// Segments in use, 1 or 2.
    uint32_t segment_count;
    uint32_t epoch;
    perseus_task_segment segments[PERSEUS_TASK_MAX_SEGMENTS];
    /// 1 when the task before it was not this expert's, so its weights come from memory.
    uint32_t starts_expert;
    uint32_t reserved[3];
} perseus_task;

PERSEUS_STATIC_ASSERT(sizeof(perseus_task_segment) == 16, "a segment is 16 bytes");
PERSEUS_ASSERT_OFFSET(perseus_task_segment, first_row, 4);
PERSEUS_ASSERT_OFFSET(perseus_task_segment, rows, 8);
PERSEUS_STATIC_ASSERT(sizeof(perseus_task) == 64, "a task is one line");
PERSEUS_ASSERT_OFFSET(perseus_task, expert, 4);
PERSEUS_ASSERT_OFFSET(perseus_task, segment_count, 8);
PERSEUS_ASSERT_OFFSET(perseus_task, epoch, 12);
PERSEUS_ASSERT_OFFSET(perseus_task, segments, 16);

#endif
