/**
 * The format of a question to every Shield and Brain, and of their answers, on the Spine: bytes in, checked data out.
 * Any client of NATS may write these, so everything is strict and bounded. `cluster_asker.ts` asks,
 * `cluster_answerer.ts` answers.
 */
import { concat } from "../containers/concat.ts";
import { isId } from "@arqon/proto";
import { z } from "zod";

/** The two kinds of processes in a cluster. */
export type NodeKind = "shield" | "brain";

/** Longest question, in bytes: fifty messages with the longest ids, all of whose characters are escaped. */
export const QUESTION_BYTES = 131_072;
/** Longest message of an answer, its head included, in bytes. */
export const PART_BYTES = 262_144;
/** Longest answer, in bytes of JSON. */
export const ANSWER_BYTES = 4_194_304;
/** Longest head of a message of an answer, in bytes. */
const HEAD_BYTES = 1_024;
/** Closer clocks count as the same, in ms: a question or an answer may be under way for this long. */
export const SAME_CLOCK_MS = 5_000;
const PARTS_MAX = 1_024;
const LINE_FEED = 10;

const Id = z.string().refine(isId);
const Kind = z.enum(["shield", "brain"]);

const Question = z.strictObject({
  question: z.string().regex(/^[a-z_]{1,32}$/),
  id: Id,
  asker: Id,
  kind: Kind,
  /** The one process that is asked; absent: every process of that kind. */
  to: Id.optional(),
  /** The kind of process that is asked; absent: both kinds. */
  of: Kind.optional(),
  /** Deadline of the question, Unix ms. Absent: the question changes nothing. */
  until_ms: z.number().optional(),
  params: z.record(z.string().max(64), z.unknown()),
});

/** One question in the form in which it is sent. */
export type Question = z.output<typeof Question>;

const Head = z.strictObject({
  id: Id,
  node: Id,
  kind: Kind,
  part: z.int().min(0).max(PARTS_MAX - 1),
  parts: z.int().min(1).max(PARTS_MAX),
  /** Why there is no answer. */
  problem: z.string().max(200).optional(),
});

/** One message of an answer. */
export interface AnswerPart extends z.output<typeof Head> {
  readonly bytes: Uint8Array;
}

/** The head of every message of an answer: the question and the answering process. */
type AnswerHead = Pick<AnswerPart, "id" | "node" | "kind">;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
}

/** The bytes of a question. Throws RangeError when they would be longer than `QUESTION_BYTES`. */
export function encodeQuestion(question: Question): Uint8Array {
  const bytes = encoder.encode(JSON.stringify(question));
  if (bytes.length > QUESTION_BYTES) throw new RangeError("the question is too long");
  return bytes;
}

/** The question in these bytes; undefined for invalid bytes. */
export function decodeQuestion(bytes: Uint8Array): Question | undefined {
  if (bytes.length > QUESTION_BYTES) return undefined;
  return Question.safeParse(parseJson(bytes)).data;
}

/** A list that may be truncated, so that an answer fits. */
interface Cuttable {
  readonly rows: readonly unknown[];
}

function isCuttable(value: unknown): value is Cuttable {
  return typeof value === "object" && value !== null && "rows" in value &&
    Array.isArray(value.rows);
}

/**
 * An answer's JSON within `ANSWER_BYTES`. From an answer with `rows` the last rows are dropped, and `truncated` is set.
 * Undefined if it still does not fit.
 */
export function answerBytes(value: unknown): Uint8Array | undefined {
  let shown = value;
  for (;;) {
    const bytes = encoder.encode(JSON.stringify(shown ?? null));
    if (bytes.length <= ANSWER_BYTES) return bytes;
    if (!isCuttable(shown) || shown.rows.length === 0) return undefined;
    const rows: readonly unknown[] = shown.rows.slice(0, Math.floor(shown.rows.length / 2));
    shown = { ...shown, rows, truncated: true };
  }
}

const message = (head: z.output<typeof Head>, bytes: Uint8Array): Uint8Array =>
  concat([encoder.encode(`${JSON.stringify(head)}\n`), bytes]);

/** The messages of an answer, each of at most `part_bytes_max`. */
export function encodeAnswer(
  head: AnswerHead,
  bytes: Uint8Array,
  part_bytes_max: number = PART_BYTES,
): Uint8Array[] {
  const size = Math.max(1, Math.min(part_bytes_max, PART_BYTES) - HEAD_BYTES);
  const parts = Math.max(1, Math.ceil(bytes.length / size));
  return Array.from(
    { length: parts },
    (_, part) => message({ ...head, part, parts }, bytes.subarray(part * size, (part + 1) * size)),
  );
}

/** A message with the reason why there is no answer. */
export function encodeProblem(head: AnswerHead, problem: string): Uint8Array {
  const text = problem.slice(0, 200);
  return message({ ...head, part: 0, parts: 1, problem: text }, new Uint8Array());
}

/** The message of an answer in these bytes; undefined for invalid bytes. */
export function decodeAnswer(bytes: Uint8Array): AnswerPart | undefined {
  if (bytes.length > PART_BYTES) return undefined;
  const end = bytes.subarray(0, HEAD_BYTES).indexOf(LINE_FEED);
  if (end < 0) return undefined;
  const head = Head.safeParse(parseJson(bytes.subarray(0, end))).data;
  if (head === undefined || head.part >= head.parts) return undefined;
  return { ...head, bytes: bytes.subarray(end + 1) };
}

/** The value of an answer's JSON; undefined when it is not JSON. */
export function decodeValue(parts: readonly Uint8Array[]): unknown {
  return parseJson(parts.length === 1 ? parts[0]! : concat(parts));
}
