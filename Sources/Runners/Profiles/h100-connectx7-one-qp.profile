# Stock IBRC: one queue pair per peer is in order, so that a fence has nothing to drain (docs/decisions/0007).
name = h100-connectx7-one-qp
summary = as h100-connectx7 with stock IBRC: one in-order queue pair per peer, nothing to drain
based-on = h100-connectx7

[proxy]
vanilla-ordering = in-order  # code: docs/decisions/0007
vanilla-queue-pairs = 1      # code: the default of NVSHMEM_IB_NUM_RC_PER_DEVICE
