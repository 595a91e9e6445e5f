#!/usr/bin/env python3
"""The expert multiplications of `perseus bench gemm --device cuda` by PyTorch, on the same GPU.

  bmm      torch.bmm over equal rows per expert and SiLU-mul between: no routing, no gather, no combine. A bound.
  grouped  index_select, torch._grouped_mm, SiLU-mul, torch._grouped_mm, weighted sum in float32; uniform random
           routing, sorted outside the timed part.

Times are medians of CUDA graph replays, each between two events, in bursts after 0.45 s of idling. With --perseus FILE
the report that `perseus bench gemm --device cuda --json FILE` wrote is put beside them: bmm against its experts, grouped
against its whole layer, above 1 is better for Perseus. Biases and the clamp of GPT-OSS are left out here, not there.

  Scripts/bench-gemm-torch.py
  Scripts/bench-gemm-torch.py --perseus gemm.json --json both.json
  Scripts/bench-gemm-torch.py --model qwen3-30b --tokens 128 --quick
"""

import argparse
import json
import statistics
import sys
import time

# Hidden, intermediate, experts, experts per token.
SHAPES = {
    "qwen3-30b": (2048, 768, 128, 8),
    "gpt-oss-120b": (2880, 2880, 128, 4),
    "deepseek-v3": (7168, 2048, 256, 8),
    "llama4-scout": (5120, 8192, 16, 1),
}
IDLE_SECONDS = 0.45
BURST_SECONDS = 0.04


def parsed_arguments(words=None):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=",".join(SHAPES), help="names, separated by commas")
    parser.add_argument("--tokens", default="128,1024,4096,16384", help="numbers of tokens")
    parser.add_argument(
        "--experts-limit", type=int, default=32, help="experts of deepseek-v3 that are kept")
    parser.add_argument("--perseus", metavar="FILE", help="a report of perseus to compare with")
    parser.add_argument("--json", metavar="FILE", help="write the times as JSON")
    parser.add_argument("--quick", action="store_true", help="few replays: proves that it runs")
    options = parser.parse_args(words)
    options.models = options.model.split(",")
    for name in options.models:
        if name not in SHAPES:
            parser.error(f"--model {name}: one of {', '.join(SHAPES)}")
    try:
        options.token_counts = [int(text) for text in options.tokens.split(",")]
    except ValueError:
        parser.error(f"--tokens {options.tokens}: numbers separated by commas")
    return options


def shape_of(name, experts_limit):
    """The name that perseus reports and the sizes; of DeepSeek-V3 only some experts are kept."""
    hidden, inner, experts, top_k = SHAPES[name]
    if name == "deepseek-v3":
        return f"{name}/{experts_limit}", hidden, inner, experts_limit, top_k
    return name, hidden, inner, experts, top_k


def perseus_times(path):
    """{(model, tokens): {part: milliseconds}} of a report."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    if report.get("command") != "bench gemm --device cuda":
        raise ValueError(f"{path}: no report of perseus bench gemm --device cuda")
    times = {}
    for result in report["results"]:
        values = result["parameters"]
        point = times.setdefault((values["model"], values["tokens"]), {})
        point[values["part"]] = values["nanoseconds"] / 1e6
    return times


def kernels(torch):
    """SiLU-mul and the weighted sum, by Triton where it is installed, by several kernels where not."""
    functional = torch.nn.functional

    def plain_silu_mul(both, out):
        inner = out.shape[-1]
        torch.mul(functional.silu(both[..., :inner]), both[..., inner:], out=out)

    def plain_combine(rows, row_of_slot, weights, out):
        tokens, top_k = weights.shape
        picked = rows.index_select(0, row_of_slot.view(-1)).view(tokens, top_k, -1).float()
        torch.sum(picked * weights.unsqueeze(-1), 1, out=out)

    try:
        import triton
        import triton.language as tl
    except ImportError:
        return "PyTorch", plain_silu_mul, plain_combine

    # Triton looks names up among the module's globals.
    globals()["tl"] = tl

    @triton.jit
    def silu_mul_kernel(both, out, inner, BLOCK: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)
        column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = column < inner
        gate = tl.load(both + row * 2 * inner + column, mask=mask).to(tl.float32)
        up = tl.load(both + row * 2 * inner + inner + column, mask=mask).to(tl.float32)
        value = gate / (1 + tl.exp(-gate)) * up
        tl.store(out + row * inner + column, value.to(out.dtype.element_ty), mask=mask)

    @triton.jit
    def combine_kernel(
            rows, row_of_slot, weights, out, hidden, TOP_K: tl.constexpr, BLOCK: tl.constexpr):
        token = tl.program_id(0).to(tl.int64)
        column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = column < hidden
        total = tl.zeros((BLOCK,), dtype=tl.float32)
        for choice in range(TOP_K):
            row = tl.load(row_of_slot + token * TOP_K + choice)
            weight = tl.load(weights + token * TOP_K + choice)
            total += weight * tl.load(rows + row * hidden + column, mask=mask).to(tl.float32)
        tl.store(out + token * hidden + column, total, mask=mask)

    def silu_mul(both, out):
        inner = out.shape[-1]
        grid = (out.numel() // inner, triton.cdiv(inner, 1024))
        silu_mul_kernel[grid](both, out, inner, BLOCK=1024)

    def combine(rows, row_of_slot, weights, out):
        tokens, top_k = weights.shape
        hidden = rows.shape[-1]
        grid = (tokens, triton.cdiv(hidden, 1024))
        combine_kernel[grid](rows, row_of_slot, weights, out, hidden, TOP_K=top_k, BLOCK=1024)

    return "Triton", silu_mul, combine


def replay_time(torch, body, quick):
    """Median milliseconds of one replay of `body` as a CUDA graph, in a burst."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            body()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()

    def burst(count):
        torch.cuda.synchronize()
        time.sleep(IDLE_SECONDS)
        events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
        events[0].record()
        for index in range(count):
            graph.replay()
            events[index + 1].record()
        torch.cuda.synchronize()
        return [events[i].elapsed_time(events[i + 1]) for i in range(count)]

    trial = min(burst(3))
    count = 3 if quick else max(6, min(20, int(BURST_SECONDS * 1000 / max(trial, 1e-3))))
    return statistics.median(burst(count))


def ceiling(torch, quick):
    """FLOP per millisecond of the 8192^3 product."""
    side = 8192
    a = torch.randn(side, side, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(side, side, device="cuda", dtype=torch.bfloat16)
    out = torch.empty_like(a)
    return 2 * side**3 / replay_time(torch, lambda: torch.mm(a, b.t(), out=out), quick)


def random_weights(torch, experts, rows, columns):
    """[experts][rows][columns] bf16, made expert by expert: float32 of all would not fit."""
    weights = torch.empty(experts, rows, columns, device="cuda", dtype=torch.bfloat16)
    for expert in weights:
        expert.normal_(0, columns**-0.5)
    return weights


def bmm_time(torch, both, down, rows, silu_mul, quick):
    """Equal rows per expert, two batched products and the activation between them."""
    experts, double_inner, hidden = both.shape
    each = rows // experts
    if each == 0:
        return None
    x = torch.randn(experts, each, hidden, device="cuda", dtype=torch.bfloat16)
    first = torch.empty(experts, each, double_inner, device="cuda", dtype=torch.bfloat16)
    active = torch.empty(experts, each, double_inner // 2, device="cuda", dtype=torch.bfloat16)
    last = torch.empty_like(x)

    def body():
        torch.bmm(x, both.transpose(1, 2), out=first)
        silu_mul(first, active)
        torch.bmm(active, down.transpose(1, 2), out=last)

    return replay_time(torch, body, quick) * rows / (each * experts)


def grouped_time(torch, both, down, tokens, top_k, silu_mul, combine, quick):
    """A MoE layer behind its router; None where torch has no grouped product."""
    if not hasattr(torch, "_grouped_mm"):
        return None
    experts, double_inner, hidden = both.shape
    x = torch.randn(tokens, hidden, device="cuda", dtype=torch.bfloat16)
    ids = torch.rand(tokens, experts, device="cuda").topk(top_k, dim=1).indices.view(-1)
    order = torch.argsort(ids, stable=True)
    token_of_row = order // top_k
    row_of_slot = torch.empty_like(order)
    row_of_slot[order] = torch.arange(order.numel(), device="cuda")
    ends = torch.bincount(ids, minlength=experts).cumsum(0).to(torch.int32)
    weights = torch.full((tokens, top_k), 1 / top_k, device="cuda")
    rows = tokens * top_k
    gathered = torch.empty(rows, hidden, device="cuda", dtype=torch.bfloat16)
    active = torch.empty(rows, double_inner // 2, device="cuda", dtype=torch.bfloat16)
    out = torch.empty(tokens, hidden, device="cuda")

    def body():
        torch.index_select(x, 0, token_of_row, out=gathered)
        first = torch._grouped_mm(gathered, both.transpose(1, 2), offs=ends)
        silu_mul(first, active)
        last = torch._grouped_mm(active, down.transpose(1, 2), offs=ends)
        combine(last, row_of_slot, weights, out)

    return replay_time(torch, body, quick)


def figure(value, digits=3):
    """A number, or a dash for what was not measured."""
    return "-" if value is None else f"{value:.{digits}f}"


def table(rows):
    """The lines of a table with a header, two spaces between columns."""
    header = ["model", "S", "bmm ms", "TFLOP/s", "of peak", "grouped ms", "TFLOP/s", "of peak",
              "perseus experts ms", "bmm/perseus", "perseus layer ms", "grouped/perseus"]
    cells = [header]
    for row in rows:
        line = [row["model"], str(row["tokens"])]
        for name in ("bmm", "grouped"):
            spent = row[name]
            rate = None if spent is None else row["operations"] / spent / 1e9
            share = None if rate is None else 100 * rate / row["peak"]
            line += [figure(spent), figure(rate, 0), figure(share, 0) + ("" if rate is None else " %")]
        for name, part in (("bmm", "experts"), ("grouped", "layer")):
            own = row["perseus"].get(part)
            ratio = None if own is None or row[name] is None else row[name] / own
            line += [figure(own), figure(ratio, 2)]
        cells.append(line)
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0])] + [text.rjust(width)
                  for text, width in zip(line[1:], widths[1:])]) for line in cells)


def main():
    options = parsed_arguments()
    own = perseus_times(options.perseus) if options.perseus else {}
    try:
        import torch
    except ImportError:
        print("bench-gemm-torch: PyTorch is not installed", file=sys.stderr)
        return 3
    if not torch.cuda.is_available():
        print("bench-gemm-torch: PyTorch sees no GPU", file=sys.stderr)
        return 3
    torch.manual_seed(1)
    source, silu_mul, combine = kernels(torch)
    rows = []
    for preset in options.models:
        name, hidden, inner, experts, top_k = shape_of(preset, options.experts_limit)
        peak = ceiling(torch, options.quick)
        both = random_weights(torch, experts, 2 * inner, hidden)
        down = random_weights(torch, experts, hidden, inner)
        for tokens in options.token_counts:
            count = tokens * top_k
            rows.append({
                "model": name, "tokens": tokens, "operations": 6 * count * hidden * inner,
                "peak": peak / 1e9, "perseus": own.get((name, tokens), {}),
                "bmm": bmm_time(torch, both, down, count, silu_mul, options.quick),
                "grouped": grouped_time(
                    torch, both, down, tokens, top_k, silu_mul, combine, options.quick),
            })
            print(f"{name}, S {tokens}: done", file=sys.stderr)
        del both, down
        torch.cuda.empty_cache()
    print(table(rows))
    print(f"{torch.cuda.get_device_name()}; torch {torch.__version__}; SiLU-mul and sum by {source}; peak: "
          + "the 8192^3 bf16 product before each model")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"schema": 1, "command": "bench-gemm-torch",
                       "device": torch.cuda.get_device_name(), "torch": torch.__version__,
                       "kernels": source, "results": rows}, file, indent=2)
            file.write("\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, KeyError) as error:
        print(f"bench-gemm-torch: {error}", file=sys.stderr)
        sys.exit(2)
