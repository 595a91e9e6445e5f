// Compiles every layout header, and with them their static assertions.
#include "perseus_arena.h"
#include "perseus_base.h"
#include "perseus_command.h"
#include "perseus_device_args.h"
#include "perseus_error_record.h"
#include "perseus_ring.h"
#include "perseus_signal.h"
#include "perseus_task.h"
