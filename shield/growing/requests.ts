/** The commands of growing messages, parsed from a command's data. Pure; `growing.ts` runs them. */
import { ArqonError, dataForm, DecodeError, isJson, jsonMembers } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import { z } from "zod";

const PREFIX = "growing.";

/** The most members of a command's data: more than any command has. */
const MEMBERS_MAX = 16;
const REASON_UNITS_MAX = 256;
/** Bytes of a type and of a content type, as in every event. */
const TYPE_BYTES_MAX = 256;

const TEXT_TYPE = "text/plain";
const isShort = (text: string) => new TextEncoder().encode(text).length <= TYPE_BYTES_MAX;
const Id = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, {
  error: "expected 1 to 64 of [A-Za-z0-9_-]",
});
const Short = z.string().refine(isShort, { error: `expected at most ${TYPE_BYTES_MAX} bytes` });
const Text = z.string().refine((text) => text.isWellFormed(), {
  error: "expected no lone surrogates",
});
const Reason = z.string().max(REASON_UNITS_MAX).refine((text) => /^[^\p{Cc}]*$/u.test(text), {
  error: "expected no control characters",
});
const Seq = z.int().min(1);

/** Every command, by its name after `growing.`. */
const REQUESTS = {
  start: z.strictObject({
    id: Id,
    type: Short.default(""),
    content_type: Short.refine((type) => type.startsWith("text/"), {
      error: `expected a type of text, for example "${TEXT_TYPE}"`,
    }).default(TEXT_TYPE),
  }),
  append: z.strictObject({ id: Id, seq: Seq.optional(), text: Text.optional() })
    .refine(({ seq, text }) => (seq === undefined) === (text === undefined), {
      error: 'expected both "seq" and "text", or neither (a keep-alive)',
    }),
  finish: z.strictObject({ id: Id, seq: z.int().min(0).optional() }),
  abort: z.strictObject({ id: Id, reason: Reason.default(""), keep: z.boolean().default(true) }),
  stop: z.strictObject({ id: Id, reason: Reason.default("") }),
  list: z.strictObject({}),
  get: z.strictObject({ id: Id }),
  outcome: z.strictObject({ id: Id }),
};

type Verb = keyof typeof REQUESTS;
/** A validated command of growing messages. */
export type GrowingRequest = {
  [V in Verb]: { readonly verb: V } & z.output<typeof REQUESTS[V]>;
}[Verb];

/** Whether a command is about growing messages: the Shield then answers it itself. */
export const isGrowingCommand = (name: string): boolean => name.startsWith(PREFIX);

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Parses the command. Throws `invalid-command`, which names what is expected. */
export function requestOf({ bytes, command }: ScannedEnvelope): GrowingRequest {
  if (command === undefined) throw new TypeError("no command");
  const { name, content_type, data_start, data_end } = command;
  const verb = name.slice(PREFIX.length);
  if (!Object.hasOwn(REQUESTS, verb)) {
    const known = Object.keys(REQUESTS).map((one) => `${PREFIX}${one}`).join(", ");
    throw invalid(`${JSON.stringify(name.slice(0, 64))}; there are ${known}`);
  }
  if (content_type !== "" && dataForm(content_type) !== "json") {
    throw invalid("data must be application/json");
  }
  const read = REQUESTS[verb as Verb].safeParse(parsed(bytes.subarray(data_start, data_end)));
  if (!read.success) {
    const [issue] = read.error.issues;
    const at = issue?.path.length ? `${issue.path.join(".")}: ` : "";
    throw invalid(`${name}: ${at}${issue?.message ?? "wrong data"}`);
  }
  return { verb, ...read.data } as GrowingRequest;
}

/** The values of the members; an object or a list, which no member may be, is only marked as such. */
function parsed(data: Uint8Array): unknown {
  if (data.length === 0) return {};
  try {
    const text = strictUtf8.decode(data);
    if (!isJson(text) || !text.trimStart().startsWith("{")) throw new SyntaxError("no JSON object");
    const tooMany = () => new DecodeError("malformed-frame", `more than ${MEMBERS_MAX} members`);
    const members = Array.from(jsonMembers(text, 0, MEMBERS_MAX, tooMany).values());
    return Object.fromEntries(members.map(({ key, start, end }) => {
      const is_inner = text[start] === "{" || text[start] === "[";
      return [key, is_inner ? {} : JSON.parse(text.slice(start, end))];
    }));
  } catch (cause) {
    const detail =
      `data must be one JSON object in UTF-8 that has at most ${MEMBERS_MAX} members and no duplicates`;
    throw new ArqonError("invalid-command", detail, { cause });
  }
}

const invalid = (detail: string) => new ArqonError("invalid-command", detail);
