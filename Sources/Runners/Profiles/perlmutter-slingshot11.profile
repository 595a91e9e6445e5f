# Four A100 per node, Slingshot-11, libfabric's cxi provider; the paper's first machine.
name = perlmutter-slingshot11
summary = A100, Slingshot-11 25 GB/s per GPU, libfabric cxi: queue-wide fence, software counters

[nic]
bandwidth = 25 GB/s                   # sheet: 200 Gb/s
message = 50 ns                       # guess
latency = 593 ns                      # calibrated: 74 % of put-only throughput with the paper's system
jitter = 0 ns                         # none modelled
refill = 25500 ns                     # calibrated: fences of 96 puts of 1 MB on 2 nodes take 3.5 ms; cause unknown
refill-size = 50200 B                 # calibrated: 22.7 ms for coupled on 8 nodes
packet-size = 4096 B                  # sheet: path MTU
reorder = 200 ns                      # guess
delivery = in-order                   # code: [libfabric] cxi, when provider order is asked for
provider-order = off                  # code: [libfabric] cxi gives it on request only
provider-order-on-request = on        # code: [libfabric] cxi, write-after-write order
honours-fence = on                    # code: [libfabric] cxi
fence-scope = queue                   # code: [libfabric] cxi, command-queue fence
fence = 0 ns                          # none modelled; the pause itself is
completion = 300 ns                   # guess
completion-per-destination = 2130 ns  # calibrated: fences of 96 puts of 4 KB on 8 nodes take 6.1 ms
retransmit = 20 us                    # guess
retry = 2 ms                          # guess; real settings are much longer
queue-depth = 1024                    # code: [NVSHMEM 3.4.5]
inline-capacity = 256 B               # guess within what NICs offer
gpu-initiated = off                   # code: [NVSHMEM 3.4.5], whose IBGDA is for mlx5 only

[proxy]
put = 1260 ns                         # calibrated: put-only is 2 % of coupled for 96 puts of 4 KB on 8 nodes
signal = 100 ns                       # bound: the signal itself is under 0.2 % of coupled, 96 puts of 4 KB on 8 nodes: 130 ns
doorbell = 100 ns                     # guess
poll = 0 ns                           # none modelled
command = 20 ns                       # target of this code
ring = 1 us                           # guess
idle-poll = 100 ns                    # guess
vanilla-ordering = drain-all          # code: docs/decisions/0007
vanilla-queue-pairs = 1               # code: one endpoint for the proxy
queue-pair-limit = 64                 # guess

[gpu]
direct-put = 150 ns                   # guess
direct-signal = 50 ns                 # guess
direct-doorbell = 0 ns                # none modelled
direct-poll = 0 ns                    # none modelled
expert-rate = 72100 GFLOP/s           # calibrated: coupled on 8 nodes takes 10 times as long as one node
multiprocessor-slots = 216            # sheet: 2 for each of 108 multiprocessors
memory-bandwidth = 1500 GB/s          # sheet, rounded
nvlink-bandwidth = 250 GB/s           # sheet, rounded
layer = 20 us                         # guess; the prototype used 200 us
push = 50 ns                          # guess
pack = 300 ns                         # guess
observe = 500 ns                      # guess
task = 1 us                           # guess
stage = 60 us                         # guess
