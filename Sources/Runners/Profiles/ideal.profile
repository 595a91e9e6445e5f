# Charges the wire and the multiplications and nothing else: what remains is the protocol.
name = ideal
summary = wire time only: no overheads, in-order queue pairs

[nic]
bandwidth = 50 GB/s                # sheet: 400 Gb/s
message = 1 ns                     # guess
latency = 500 ns                   # guess
jitter = 0 ns                      # none modelled
refill = 0 ns                      # by definition: no overhead
refill-size = 150 KB               # without effect: there is no refill
packet-size = 4096 B               # sheet: path MTU
reorder = 2 us                     # without effect: delivery is in order
delivery = in-order                # by definition
provider-order = off               # by definition: the order is the connection's
provider-order-on-request = off    # by definition: the order is the connection's
honours-fence = on                 # by definition
fence-scope = peer                 # by definition
fence = 0 ns                       # by definition: no overhead
completion = 0 ns                  # by definition: no overhead
completion-per-destination = 0 ns  # by definition: no overhead
retransmit = 20 us                 # guess
retry = 2 ms                       # guess; real settings are much longer
queue-depth = 1024                 # code: [NVSHMEM 3.4.5]
inline-capacity = 256 B            # guess within what NICs offer
gpu-initiated = on                 # by definition

[proxy]
put = 0 ns                         # by definition: no overhead
signal = 0 ns                      # by definition: no overhead
doorbell = 0 ns                    # by definition: no overhead
poll = 0 ns                        # by definition: no overhead
command = 0 ns                     # by definition: no overhead
ring = 0 ns                        # by definition: no overhead
idle-poll = 0 ns                   # by definition: no overhead
vanilla-ordering = drain-all       # as perlmutter-slingshot11
vanilla-queue-pairs = 1            # as perlmutter-slingshot11
queue-pair-limit = 64              # guess

[gpu]
direct-put = 0 ns                  # by definition: no overhead
direct-signal = 0 ns               # by definition: no overhead
direct-doorbell = 0 ns             # by definition: no overhead
direct-poll = 0 ns                 # by definition: no overhead
expert-rate = 400 TFLOP/s          # guess
multiprocessor-slots = 216         # the value of perlmutter-slingshot11
memory-bandwidth = 1500 GB/s       # the value of perlmutter-slingshot11
nvlink-bandwidth = 250 GB/s        # the value of perlmutter-slingshot11
layer = 0 ns                       # by definition: no overhead
push = 0 ns                        # by definition: no overhead
pack = 0 ns                        # by definition: no overhead
observe = 0 ns                     # by definition: no overhead
task = 0 ns                        # by definition: no overhead
stage = 0 ns                       # by definition: no overhead
