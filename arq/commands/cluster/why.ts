/**
 * `arq why` and `arq trace`: how a message was admitted and its outcome, from the bus; and the spans of one trace, from
 * the Jaeger of its collector.
 */
import {
  ledgerLines,
  outcomeLines,
  tellsAnything,
  wayInGaps,
  wayInLines,
} from "../../answers/why_text.ts";
import { listOf, type Members, membersOf } from "../../answers/policy_text.ts";
import { type Admin, exchange, findAdmin } from "../../bus/admin.ts";
import { CommandError, EXIT, failed, usageError } from "../../terminal/exit.ts";
import type { Ended, Io } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { membersFrom } from "../../bus/request_members.ts";
import { plural } from "../../../shared/plural.ts";
import { readTrace, type TraceSpan, traceTree } from "../../answers/trace_tree.ts";
import { linesText } from "../../terminal/columns.ts";

const given = (...values: readonly unknown[]) =>
  values.filter((value) => value !== undefined).length;

/** Throws for options that do not form a question, in the words of the command line. */
function requireQuestion(flags: Flags): void {
  const { trace, twist, messageId, offset, user, connection, address, room, since } = flags;
  const ids = given(trace, twist, messageId, offset);
  const whose = given(user, connection, address);
  if (ids > 1) throw usageError("give one of --trace, --twist, --message-id and --offset");
  if (whose > 1) throw usageError("give one of --user, --connection and --address");
  if (ids + whose === 0) {
    throw usageError(
      "which message, or whose? Give --message-id, --trace, --twist or --offset, or --user",
    );
  }
  if (offset !== undefined && room === undefined) throw usageError("--offset needs --room");
  if (since === undefined) return;
  if (ids > 0) throw usageError("--since lists all messages of a room, not one");
  if (room === undefined || given(user, connection) === 0) {
    throw usageError("--since needs --room, and --user or --connection");
  }
}

const QUERY = "tenant,trace,twist,message_id,room,offset,user,connection,address";

/** Most answers that are read while the journal has more; each covers some 100,000 lines. */
const ANSWERS_MAX = 100;
/** Most decisions, and most holes, that are reported. */
const LINES_MAX = 50;

const UNKNOWN = "no Shield's ledger has it";

/** Why no ledger knows a message, according to the journal's decisions about it. */
function unknownText(decisions: readonly unknown[]): string {
  if (decisions.length === 0) return UNKNOWN;
  const admitted = decisions.map(membersOf).filter(({ allowed }) => allowed === true);
  if (admitted.length === 0) return `${UNKNOWN}: it was refused`;
  return admitted.every(({ is_command }) => is_command === true)
    ? `${UNKNOWN}: no subscriber receives a command`
    : `${UNKNOWN}: its room had no subscriber then, or the ledgers begin later`;
}
/** A named room is searched, too. */
const UNKNOWN_ROOM = "its outcome is unknown; with --room, a durable room's log is searched";

/** Prints what the ledgers and the journal know. Returns 1 when they know nothing. */
export async function why(io: Io, flags: Flags): Promise<Ended> {
  requireQuestion(flags);
  const admin = await findAdmin(io, flags);
  const query = { ...membersFrom(QUERY, flags), since_ms: await admin.ago(flags.since) };
  const answer = await wholeAnswer(admin, query);
  const way_in = membersOf(answer["way_in"]);
  const decisions = listOf(way_in["decisions"]);
  const has_way_in = decisions.length > 0;
  const { trace, twist, messageId, offset, room } = flags;
  const is_message = given(trace, twist, messageId, offset) > 0;
  const is_known = tellsAnything(answer, is_message);
  const lines = [
    ...(is_known ? [] : [unknownText(decisions)]),
    ...outcomeLines(answer, flags),
    ...wayInLines(way_in),
    ...ledgerLines(answer),
    ...(is_known || has_way_in || !is_message || room !== undefined ? [] : [UNKNOWN_ROOM]),
    ...(answer["way_in"] === null ? [] : wayInGaps(way_in)),
  ];
  const text = linesText(lines);
  return { json: answer, text, code: is_known || has_way_in ? EXIT.ok : EXIT.failure };
}

/** The bus's answer, continued until the journal has no more about the admission. */
async function wholeAnswer(admin: Admin, query: Members): Promise<Members> {
  const first = await admin.get("/v1/why", query);
  let way_in = membersOf(first["way_in"]);
  const decisions = [...listOf(way_in["decisions"])];
  const holes = [...listOf(way_in["holes"])];
  for (let answers = 1; answers < ANSWERS_MAX && typeof way_in["next"] === "string"; answers++) {
    if (decisions.length >= LINES_MAX) break;
    const more = await admin.get("/v1/why", { ...query, after: way_in["next"] });
    way_in = membersOf(more["way_in"]);
    decisions.push(...listOf(way_in["decisions"]));
    holes.push(...listOf(way_in["holes"]));
  }
  return first["way_in"] === null ? first : { ...first, way_in: { ...way_in, decisions, holes } };
}

const REQUEST_MS = 10_000;
const ANSWER_BYTES_MAX = 64 * 2 ** 20;
const NOT_FOUND = 404;

async function fetchTrace(io: Io, base: string, trace_id: string): Promise<readonly TraceSpan[]> {
  const admin_url = base.replace(/\/+$/, "");
  const path = `/api/traces/${trace_id}`;
  const jaeger = { admin_url, token: undefined };
  const request = { method: "GET", path } as const;
  const { response, text } = await exchange(io, jaeger, request, REQUEST_MS, ANSWER_BYTES_MAX);
  if (response.status === NOT_FOUND) return [];
  let spans: readonly TraceSpan[] | undefined;
  try {
    spans = readTrace(JSON.parse(text));
  } catch {
    spans = undefined;
  }
  if (response.status === 200 && spans !== undefined) return spans;
  throw new CommandError(
    `${admin_url}${path} HTTP ${response.status}, but the answer is not Jaeger's`,
    EXIT.failure,
    "--jaeger-url is the address of Jaeger's query service, for example http://127.0.0.1:16686",
  );
}

/** Prints the spans of a trace. Returns 1 when there is none, 2 without a URL. */
export async function trace(io: Io, trace_id: string, flags: Flags): Promise<Ended> {
  if (flags.jaegerUrl === undefined) {
    throw usageError(
      "where is Jaeger? Give its address: arq trace ID --jaeger-url http://127.0.0.1:16686",
    );
  }
  const spans = await fetchTrace(io, flags.jaegerUrl, trace_id);
  if (spans.length === 0) {
    throw failed(
      `Jaeger has no trace ${trace_id}`,
      "spans arrive after a few seconds, and only sampled ones: docs/tracing.md",
    );
  }
  const head = `trace ${trace_id}, ${plural(spans.length, "span")}\n`;
  return { json: { trace_id, spans }, text: head + traceTree(spans) };
}
