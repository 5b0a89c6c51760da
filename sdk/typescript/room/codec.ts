/** How values become data and back, and a codec for JSON from any validator. */
import { ArqonError } from "@arqon/proto";

/** Turns values into the data of a message and back; `typedRoom` takes one. */
export interface Codec<T> {
  readonly content_type: string;
  /** The Protobuf type or schema that messages name; absent: none. */
  readonly schema_id?: string;
  /** The data of a value. Throws for a value that it does not know. */
  encode(value: T): Uint8Array;
  /** The value of data. Throws, or rejects, for data that is no value. */
  decode(data: Uint8Array): T | Promise<T>;
}

/** What validators have in common (https://standardschema.dev, version 1). */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (
      value: unknown,
    ) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What such a validator answers: a value, or what is wrong. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One thing that is wrong, and where in the value. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** An error names no more than this many issues. */
const ISSUES_MAX = 5;

function violation(issues: readonly StandardIssue[]): ArqonError {
  const texts = issues.slice(0, ISSUES_MAX).map(({ message, path = [] }) => {
    const at = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
    return at === "" ? message : `${at}: ${message}`;
  });
  return new ArqonError("schema-violation", texts.join("; "), { cause: issues });
}

function valueOf<T>(result: StandardResult<T>): T {
  if (result.issues !== undefined) throw violation(result.issues);
  return result.value;
}

/**
 * JSON, validated by `schema` when it is written and when it is read: `schema-violation` says where it
 * is wrong. What travels is the value as it is given; what a reader gets is what the validator makes
 * of it, so a schema whose input and output differ reads, but may refuse what it has read when that is
 * written. A validator that is asynchronous can only read: `encode` throws TypeError.
 *
 * ```ts
 * import { connect, standardCodec, typedRoom } from "@arqon/sdk";
 * import { z } from "zod";
 *
 * const chat = standardCodec(z.object({ text: z.string().max(500) }));
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * const room = typedRoom(bus.room("lobby"), "chat", chat);
 * await room.publish({ text: "hello" });
 * for await (const { value } of room.subscribe()) console.log(value?.text);
 * ```
 */
export function standardCodec<T>(
  schema: StandardSchema<unknown, T>,
  options: { readonly schema_id?: string } = {},
): Codec<T> {
  const { validate } = schema["~standard"];
  return {
    content_type: "application/json",
    ...options,
    encode(value) {
      const result = validate(value);
      if (result instanceof Promise) {
        result.catch(() => {});
        throw new TypeError("the schema validates asynchronously: it can read, but not write");
      }
      valueOf(result);
      return new TextEncoder().encode(JSON.stringify(value));
    },
    decode(data) {
      const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
      const result = validate(json);
      return result instanceof Promise ? result.then(valueOf) : valueOf(result);
    },
  };
}
