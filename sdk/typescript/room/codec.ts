/** The interface of codecs, and a JSON codec from any validator. */
import { ArqonError, encodeUtf8 } from "@arqon/proto";

/** Converts values to the data of a message and back, for `typedRoom`. */
export interface Codec<T> {
  readonly content_type: string;
  /** The `schema_id` of the messages; absent: none. */
  readonly schema_id?: string;
  /** Encodes a value. Throws for an invalid value. */
  encode(value: T): Uint8Array;
  /** Decodes a value. Throws, or rejects, for invalid data. */
  decode(data: Uint8Array): T | Promise<T>;
}

/** The common interface of validators (https://standardschema.dev, version 1). */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** The result of such a validator: a value, or issues. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One issue and its path in the value. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

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
 * JSON, validated by `schema` when it is written and when it is read: `schema-violation` names the invalid path. The
 * value is sent as it is given, and a reader gets the validator's output; so with a schema whose input and output
 * differ, a value that was read may be refused when written. An asynchronous validator can only read: `encode` throws
 * TypeError.
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
        // The refusal below counts.
        result.catch(() => {});
        throw new TypeError("the schema validates asynchronously: it can read, but not write");
      }
      valueOf(result);
      return encodeUtf8(JSON.stringify(value));
    },
    decode(data) {
      const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
      const result = validate(json);
      return result instanceof Promise ? result.then(valueOf) : valueOf(result);
    },
  };
}
