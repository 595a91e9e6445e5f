# Scalable reliable datagrams as on EFA: no order, no fence, everything exactly once.
name = efa-srd
summary = as h100-connectx7 over unordered datagrams without a fence, as EFA's SRD
based-on = h100-connectx7

[nic]
latency = 6 us                # guess
delivery = unordered          # by definition
honours-fence = off           # by definition

[proxy]
vanilla-ordering = drain-all  # code: docs/decisions/0007
