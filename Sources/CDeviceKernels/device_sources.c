// The list of embedded files: a new kernel or header is one more entry here.
#include "perseus_device_sources.h"

#include <stddef.h>

#pragma clang diagnostic ignored "-Wc23-extensions"

#define FILE_BEGIN(name) {name, (const unsigned char[]){
#define FILE_END , 0}},

static const perseus_device_source sources[] = {
    // Layouts that the CPU reads too.
    FILE_BEGIN("perseus_base.h")
    #embed "../CPerseusABI/include/perseus_base.h"
    FILE_END
    FILE_BEGIN("perseus_signal.h")
    #embed "../CPerseusABI/include/perseus_signal.h"
    FILE_END
    FILE_BEGIN("perseus_arena.h")
    #embed "../CPerseusABI/include/perseus_arena.h"
    FILE_END
    FILE_BEGIN("perseus_command.h")
    #embed "../CPerseusABI/include/perseus_command.h"
    FILE_END
    FILE_BEGIN("perseus_ring.h")
    #embed "../CPerseusABI/include/perseus_ring.h"
    FILE_END
    FILE_BEGIN("perseus_direct.h")
    #embed "../CPerseusABI/include/perseus_direct.h"
    FILE_END
    FILE_BEGIN("perseus_task.h")
    #embed "../CPerseusABI/include/perseus_task.h"
    FILE_END
    FILE_BEGIN("perseus_error_record.h")
    #embed "../CPerseusABI/include/perseus_error_record.h"
    FILE_END
    FILE_BEGIN("perseus_device_args.h")
    #embed "../CPerseusABI/include/perseus_device_args.h"
    FILE_END
    // What kernels include.
    FILE_BEGIN("perseus_device.cuh")
    #embed "kernels/perseus_device.cuh"
    FILE_END
    FILE_BEGIN("perseus_device_layer.h")
    #embed "../CPerseusABI/include/perseus_device_layer.h"
    FILE_END
    FILE_BEGIN("perseus_put_signal_args.h")
    #embed "../CPerseusABI/include/perseus_put_signal_args.h"
    FILE_END
    // Kernels.
    FILE_BEGIN("perseus_probe.cu")
    #embed "kernels/perseus_probe.cu"
    FILE_END
    FILE_BEGIN("bench_ring.cu")
    #embed "kernels/bench_ring.cu"
    FILE_END
    FILE_BEGIN("example_put_signal.cu")
    #embed "kernels/example_put_signal.cu"
    FILE_END
    FILE_BEGIN("hopper.cuh")
    #embed "kernels/hopper.cuh"
    FILE_END
    FILE_BEGIN("wgmma.cuh")
    #embed "kernels/wgmma.cuh"
    FILE_END
    FILE_BEGIN("shape.cuh")
    #embed "kernels/shape.cuh"
    FILE_END
    FILE_BEGIN("layer.cuh")
    #embed "kernels/layer.cuh"
    FILE_END
    FILE_BEGIN("tasks.cuh")
    #embed "kernels/tasks.cuh"
    FILE_END
    FILE_BEGIN("plan.cuh")
    #embed "kernels/plan.cuh"
    FILE_END
    FILE_BEGIN("direct.cuh")
    #embed "kernels/direct.cuh"
    FILE_END
    FILE_BEGIN("send.cuh")
    #embed "kernels/send.cuh"
    FILE_END
    FILE_BEGIN("bulk.cuh")
    #embed "kernels/bulk.cuh"
    FILE_END
    FILE_BEGIN("operator.cuh")
    #embed "kernels/operator.cuh"
    FILE_END
    FILE_BEGIN("rows.cuh")
    #embed "kernels/rows.cuh"
    FILE_END
    FILE_BEGIN("tile.cuh")
    #embed "kernels/tile.cuh"
    FILE_END
    FILE_BEGIN("worker.cuh")
    #embed "kernels/worker.cuh"
    FILE_END
    FILE_BEGIN("copies.cuh")
    #embed "kernels/copies.cuh"
    FILE_END
    FILE_BEGIN("megakernel.cu")
    #embed "kernels/megakernel.cu"
    FILE_END
    FILE_BEGIN("bench_put_signal.cu")
    #embed "kernels/bench_put_signal.cu"
    FILE_END
    {NULL, NULL},
};

const perseus_device_source *perseus_device_sources(void) { return sources; }
