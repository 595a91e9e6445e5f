// The table of all parameters, in the order in which files and reports list them.

import PerseusProxy
import PerseusSoftNIC

extension ProfileParameter {
    /// A new parameter is a property of `Profile`, one entry here, and one line in each file that names no base.
    public static let all: [ProfileParameter] = wire + ordering + completions + proxy + gpu

    // MARK: NIC

    private static let wire: [ProfileParameter] = [
        .number(
            .nic, "bandwidth", .byteRate, \.fabric.bytesPerNanosecond, 0.001...100_000,
            "payload rate of the port, each direction"),
        .time(
            .nic, "message", \.fabric.messageNanoseconds,
            "least transmit time of a message: one divided by the message rate"),
        .time(
            .nic, "latency", \.fabric.latencyNanoseconds,
            "from the sender's NIC to the peer's memory, one way"),
        .time(.nic, "jitter", \.fabric.jitterNanoseconds, "random extra latency, below this"),
        .time(
            .nic, "refill", \.fabric.refillNanoseconds,
            "most that a put costs extra when it finds the NIC idle"),
        .number(
            .nic, "refill-size", .byteCount, \.fabric.refillByteCount, 1...1e12,
            "m in the extra cost of a put to an idle NIC, refill * (1 - exp(-bytes / m))"),
        .number(
            .nic, "packet-size", .byteCount, \.fabric.packetByteCount, 16...1e9,
            "what a delivery that reorders places separately"),
        .time(
            .nic, "reorder", \.fabric.reorderNanoseconds,
            "a packet may land this much after its neighbours where the delivery reorders"),
    ]

    private static let ordering: [ProfileParameter] = [
        .name(.nic, "delivery", \.fabric.mode, "what may overtake what on one queue pair"),
        .onOff(
            .nic, "provider-order", \.fabric.isProviderOrdered,
            "the order of an in-order delivery is the provider's promise, not the connection's"),
        .onOff(
            .nic, "provider-order-on-request", \.hasProviderOrderOnRequest,
            "write-after-write order is there for the asking, and unasked the delivery is unordered"
        ),
        .onOff(
            .nic, "honours-fence", \.fabric.honoursFence,
            "a fence flag does something, instead of being accepted and ignored"),
        .name(.nic, "fence-scope", \.fabric.fenceScope, "what a fence flag holds back"),
        .time(
            .nic, "fence", \.fabric.fenceNanoseconds, "extra transmit time of a flagged request"),
    ]

    private static let completions: [ProfileParameter] = [
        .time(
            .nic, "completion", \.fabric.completionNanoseconds,
            "from the acknowledgement to a completion that a poll can see"),
        .time(
            .nic, "completion-per-destination", \.fabric.completionPerDestinationNanoseconds,
            "added to that for each remote destination of a proxy thread"),
        .time(
            .nic, "retransmit", \.fabric.retransmitNanoseconds,
            "a lost packet is sent again after this"),
        .time(
            .nic, "retry", \.fabric.retryNanoseconds, "a silent peer is given up after this"),
        .number(
            .nic, "queue-depth", .count, \.fabric.queueDepth, 2...65536,
            "requests that one queue pair holds"),
        .number(
            .nic, "inline-capacity", .byteCount, \.fabric.inlineCapacityByteCount, 8...1024,
            "bytes that travel inside a work request"),
        .onOff(
            .nic, "gpu-initiated", \.hasGPUInitiatedTransport,
            "a GPU can write work requests into this NIC's queues, else gpu-direct is hypothetical"),
    ]

    // MARK: Proxy

    private static let proxy: [ProfileParameter] = [
        .time(
            .proxy, "put", \.posting.putNanoseconds,
            "posting a put, from the drained command to the posted request"),
        .time(.proxy, "signal", \.posting.signalNanoseconds, "posting a signal"),
        .time(.proxy, "doorbell", \.posting.doorbellNanoseconds, "ringing a doorbell"),
        .time(
            .proxy, "poll", \.posting.pollNanoseconds,
            "a poll that returned at least one completion"),
        .time(.proxy, "command", \.drainNanoseconds, "taking one command from the ring"),
        .time(
            .proxy, "ring", \.ringNanoseconds, "from a GPU's push to the proxy that sees it"),
        .time(
            .proxy, "idle-poll", \.proxyPollNanoseconds,
            "an idle proxy notices a change after this"),
        .name(
            .proxy, "vanilla-ordering", \.vanillaDrain, without: [.none],
            "how this cluster's stock proxy keeps a signal behind its data"),
        .number(
            .proxy, "vanilla-queue-pairs", .count, \.vanillaQueuePairs, 1...256,
            "queue pairs that the stock proxy spreads its destinations over"),
        .number(
            .proxy, "queue-pair-limit", .count, \.queuePairLimit, 1...256,
            "most queue pairs that perseus-plus opens for one proxy thread"),
    ]

    // MARK: GPU

    private static let gpu: [ProfileParameter] = [
        .time(
            .gpu, "direct-put", \.directPosting.putNanoseconds,
            "posting a put by a GPU thread, for gpu-direct"),
        .time(
            .gpu, "direct-signal", \.directPosting.signalNanoseconds,
            "posting a signal by a GPU thread"),
        .time(
            .gpu, "direct-doorbell", \.directPosting.doorbellNanoseconds,
            "ringing a doorbell by a GPU thread"),
        .time(
            .gpu, "direct-poll", \.directPosting.pollNanoseconds,
            "a poll by a GPU thread that returned at least one completion"),
        .number(
            .gpu, "expert-rate", .arithmeticRate, \.flopsPerNanosecond, 1...1e9,
            "bf16 rate of all expert multiplications of a rank"),
        .number(
            .gpu, "multiprocessor-slots", .count, \.multiprocessorSlots, 1...65536,
            "thread blocks that multiply, of which a 128-row tile of an expert takes hidden / 128"),
        .number(
            .gpu, "memory-bandwidth", .byteRate, \.memoryBytesPerNanosecond, 0.001...1e6,
            "rate of the GPU's memory"),
        .number(
            .gpu, "nvlink-bandwidth", .byteRate, \.nvlinkBytesPerNanosecond, 0.001...1e6,
            "rate to a peer on the same node"),
        .time(
            .gpu, "layer", \.layerNanoseconds,
            "fixed part of a layer: launch, routing, first tiles"),
        .time(.gpu, "push", \.pushNanoseconds, "a push of a command by the kernel"),
        .time(.gpu, "pack", \.packNanoseconds, "fixed part of packing a transfer"),
        .time(
            .gpu, "observe", \.observeNanoseconds, "a subscriber notices a signal after this"),
        .time(.gpu, "task", \.taskNanoseconds, "fixed part of an expert's or a combine's task"),
        .time(
            .gpu, "stage", \.stageNanoseconds,
            "one stage of a host-driven library: kernel launch and barrier over all ranks"),
    ]
}
