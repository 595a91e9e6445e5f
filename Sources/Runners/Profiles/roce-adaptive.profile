# Reliable connections over a fabric that routes every packet on its own: writes land in any order, while completions,
# immediates and atomics stay behind earlier writes.
name = roce-adaptive
summary = as h100-connectx7 with adaptive routing: writes land out of order, immediates do not
based-on = h100-connectx7

[nic]
delivery = adaptive-routing  # by definition
