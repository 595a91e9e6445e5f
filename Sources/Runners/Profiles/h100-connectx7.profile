# Eight H100 per node, ConnectX-7 NDR, reliable connections; the paper's second machine.
#
# The stock proxy is the one of the paper's IBRC rows: several queue pairs, which it drains peer by peer. It is not the
# default of NVSHMEM, which h100-connectx7-one-qp stands for (docs/decisions/0007).
name = h100-connectx7
summary = H100, ConnectX-7 50 GB/s per GPU, IBRC: in-order queue pairs, hardware completions

[nic]
bandwidth = 50 GB/s                # sheet: 400 Gb/s
message = 5 ns                     # sheet: 200 million messages per second
latency = 593 ns                   # the value of perlmutter-slingshot11
jitter = 0 ns                      # none modelled
refill = 16300 ns                  # calibrated: 2.47 times, the best case over IBRC; cause unknown
refill-size = 50200 B              # the value of perlmutter-slingshot11
packet-size = 4096 B               # sheet: path MTU
reorder = 2 us                     # guess
delivery = in-order                # code: [IBA] reliable connections
provider-order = off               # code: the order is the connection's
provider-order-on-request = off    # code: the order is the connection's
honours-fence = on                 # code
fence-scope = peer                 # code: a reliable connection has one peer
fence = 0 ns                       # none modelled; the pause itself is
completion = 4 us                  # guess of the prototype for a drain of one peer
completion-per-destination = 0 ns  # none modelled
retransmit = 20 us                 # guess
retry = 2 ms                       # guess; real settings are much longer
queue-depth = 1024                 # code: [NVSHMEM 3.4.5]
inline-capacity = 256 B            # guess within what NICs offer
gpu-initiated = on                 # code: IBGDA

[proxy]
put = 600 ns                       # guess
signal = 300 ns                    # guess
doorbell = 100 ns                  # guess
poll = 0 ns                        # none modelled
command = 20 ns                    # target of this code
ring = 1 us                        # guess
idle-poll = 100 ns                 # guess
vanilla-ordering = drain-peer      # code: docs/decisions/0007
vanilla-queue-pairs = 4            # a setting, not the default: NVSHMEM_IB_NUM_RC_PER_DEVICE
queue-pair-limit = 64              # guess

[gpu]
direct-put = 150 ns                # guess
direct-signal = 50 ns              # guess
direct-doorbell = 0 ns             # none modelled
direct-poll = 0 ns                 # none modelled
expert-rate = 228 TFLOP/s          # the share of the peak that perlmutter-slingshot11 has (989 against 312 TFLOP/s)
multiprocessor-slots = 264         # sheet: 2 for each of 132 multiprocessors
memory-bandwidth = 3000 GB/s       # sheet, rounded
nvlink-bandwidth = 400 GB/s        # sheet, rounded
layer = 1950 us                     # calibrated: a of 1 to 5 ms in the alpha-beta fits
push = 50 ns                       # guess
pack = 300 ns                      # guess
observe = 500 ns                   # guess
task = 1 us                        # guess
stage = 60 us                      # guess
