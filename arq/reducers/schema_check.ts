/**
 * Holds what a reducer answers, tells and shows to the schema of its module, on one's own machine: a bus holds only what
 * users ask for to it. Pure.
 */
import { valueProblem } from "../../wasm/reducer/schema/judge.ts";
import type { RoomSchema } from "../../wasm/reducer/schema/room_schema.ts";
import { resolved, type Shape, textOf } from "../../wasm/reducer/schema/shape.ts";
import type { Outcome } from "../../brain/reducers/state/entry.ts";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes as clients get them: JSON where they are such, else a text; undefined: neither. */
function contentOf(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = strict.decode(bytes);
  } catch {
    return undefined;
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function bytesProblem(
  schema: RoomSchema,
  shape: Shape,
  bytes: Uint8Array,
  at: string,
): string | undefined {
  const content = contentOf(bytes);
  return content === undefined ? `${at}: expected UTF-8` : valueProblem(schema, shape, content, at);
}

/** The shape of a value; the longest beginning counts. */
function shapeOfKey({ values = {} }: RoomSchema, key: string): Shape | undefined {
  if (Object.hasOwn(values, key)) return values[key];
  const beginnings = Object.keys(values).filter((one) =>
    one.endsWith("*") && key.startsWith(one.slice(0, -1))
  ).sort((one, other) => other.length - one.length);
  return beginnings[0] === undefined ? undefined : values[beginnings[0]];
}

function keyProblem(schema: RoomSchema, latin: string, value: Uint8Array): string | undefined {
  const key = new TextDecoder().decode(Uint8Array.from(latin, (one) => one.charCodeAt(0)));
  const shape = shapeOfKey(schema, key);
  if (shape === undefined) return undefined;
  const at = `value ${key}`;
  if (textOf(resolved(shape, schema.$defs ?? {})) !== "always") {
    return bytesProblem(schema, shape, value, at);
  }
  try {
    return valueProblem(schema, shape, strict.decode(value), at);
  } catch {
    return `${at}: expected UTF-8`;
  }
}

/** Where the outcome of a command, or of a timer's, is not what the schema says. */
export function schemaProblems(
  schema: RoomSchema,
  command: string,
  { kind, repeats, answer, events, changes }: Outcome,
): string[] {
  if (kind !== "applied" || repeats !== undefined) return [];
  const problems: (string | undefined)[] = [];
  const told = Object.hasOwn(schema.commands, command) ? schema.commands[command] : undefined;
  if (told?.answer !== undefined) {
    const empty = answer.length === 0;
    problems.push(
      empty
        ? valueProblem(schema, told.answer, null, "answer")
        : bytesProblem(schema, told.answer, answer, "answer"),
    );
  } else if (told !== undefined && answer.length > 0) problems.push("answer: expected none");
  for (const { type, data } of events) {
    const shape = schema.events && Object.hasOwn(schema.events, type)
      ? schema.events[type]
      : undefined;
    if (shape !== undefined) problems.push(bytesProblem(schema, shape, data, `event ${type}`));
    else if (schema.events !== undefined) problems.push(`event ${type}: the schema has none`);
  }
  for (const [key, value] of changes) {
    if (value !== null) problems.push(keyProblem(schema, key, value));
  }
  return problems.filter((one) => one !== undefined);
}
