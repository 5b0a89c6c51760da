/**
 * `arq trace`: prints one trace from the Jaeger that the bus's collector feeds, over Jaeger's HTTP API. It
 * does not ask the bus, which keeps no spans.
 */
import { ArqonError } from "@arqon/sdk";
import { endedBy } from "../../../shared/listeners/answer_body.ts";
import { plural } from "../../../shared/plural.ts";
import { CommandError, EXIT, usageError } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { readTrace, type TraceSpan, traceTree } from "../../answers/trace_tree.ts";
import type { Flags } from "../../program/flags.ts";

const REQUEST_MS = 10_000;
/** Most bytes of an answer. */
const ANSWER_BYTES_MAX = 64 * 2 ** 20;
const NOT_FOUND = 404;

function reason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}

async function readText(response: Response, url: string, signal: AbortSignal): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size_bytes = 0;
  for await (const chunk of response.body === null ? [] : endedBy(response.body, signal)) {
    size_bytes += chunk.length;
    if (size_bytes > ANSWER_BYTES_MAX) {
      throw new CommandError(`${url}: the answer is over ${ANSWER_BYTES_MAX} bytes`);
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

async function ask(io: Io, url: string): Promise<{ status: number; text: string }> {
  try {
    const signal = AbortSignal.any([io.signal, AbortSignal.timeout(REQUEST_MS)]);
    const response = await fetch(url, { redirect: "manual", signal });
    return { status: response.status, text: await readText(response, url, signal) };
  } catch (error) {
    io.signal.throwIfAborted();
    if (error instanceof CommandError) throw error;
    throw new ArqonError("unreachable", `${url}: ${reason(error)}`);
  }
}

async function fetchTrace(io: Io, base: string, trace_id: string): Promise<readonly TraceSpan[]> {
  const url = `${base.replace(/\/+$/, "")}/api/traces/${trace_id}`;
  const { status, text } = await ask(io, url);
  if (status === NOT_FOUND) return [];
  let spans: readonly TraceSpan[] | undefined;
  try {
    spans = readTrace(JSON.parse(text));
  } catch {
    spans = undefined;
  }
  if (status === 200 && spans !== undefined) return spans;
  throw new CommandError(
    `${url} answers HTTP ${status}, but not as Jaeger does`,
    EXIT.failure,
    "--jaeger-url is the address of Jaeger's query service, for example http://127.0.0.1:16686",
  );
}

/** Prints the spans of a trace. Returns 1 when there is none, 2 without a URL. */
export async function trace(io: Io, trace_id: string, flags: Flags): Promise<number> {
  if (flags.jaegerUrl === undefined) {
    throw usageError(
      "where is Jaeger? Give its address: arq trace ID --jaeger-url http://127.0.0.1:16686",
    );
  }
  const spans = await fetchTrace(io, flags.jaegerUrl, trace_id);
  if (spans.length === 0) {
    throw new CommandError(
      `Jaeger has no trace ${trace_id}`,
      EXIT.failure,
      "it takes a few seconds to get there, and only what is sampled does: docs/tracing.md",
    );
  }
  const shown = flags.json === true
    ? `${JSON.stringify({ trace_id, spans })}\n`
    : `trace ${trace_id}, ${plural(spans.length, "span")}\n${traceTree(spans)}`;
  await print(io.stdout, shown);
  return EXIT.ok;
}
