/** Bodies and queries of the admin API, read within bounds and checked. */
import { ArqonError, isId } from "@arqon/proto";
import { z } from "zod";
import { parseStrictJsonBytes } from "../../shared/strict_json.ts";
import { Binding, problemText } from "./chain.ts";

/** Largest JSON body, in bytes. */
const JSON_BYTES = 16_384;

const id = z.string().refine(isId, { error: "expected 1 to 64 of [A-Za-z0-9_~:=-]" })
  .meta({ pattern: "^[A-Za-z0-9_~:=-]{1,64}$" });

/** Body of `POST /v1/policies/deploy`. */
export const Deployment = z.strictObject({
  tenant: id,
  name: Binding.shape.name,
  sha256: Binding.shape.sha256,
  room: Binding.shape.room.default("*"),
  /** Absent: every hook that the module has. */
  hooks: Binding.shape.hooks.optional(),
  order: Binding.shape.order.default(0),
  mode: Binding.shape.mode.default("enforce"),
  percent: Binding.shape.percent.default(1),
});

/** Body of `POST /v1/policies/rollback`. */
export const Rollback = z.strictObject({
  tenant: id,
  /** Absent: the one before what is in force. */
  version: z.int().min(0).optional(),
});

/** Body of `POST /v1/policies/reset`. */
export const Reset = z.strictObject({ tenant: id });

/** The media type of a request, without its parameters. */
function mediaType(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

/** Throws `unsupported-media-type` unless the body says that it is `type`. */
export function requireType(request: Request, type: string): void {
  const given = mediaType(request);
  if (given === type) return;
  throw new ArqonError("unsupported-media-type", `${JSON.stringify(given)}; expected ${type}`);
}

/** The whole body. Rejects with `too-large` as soon as it is more than `max` bytes. */
export async function readBytes(request: Request, max: number): Promise<Uint8Array> {
  const tooLarge = () => new ArqonError("too-large", `the body has more than ${max} bytes`);
  if (Number(request.headers.get("content-length") ?? 0) > max) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > max) throw tooLarge();
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** The JSON body, as `schema` has it. Rejects with `malformed-body`, which names what is wrong. */
export async function readJson<T extends z.ZodType>(
  request: Request,
  schema: T,
): Promise<z.output<T>> {
  requireType(request, "application/json");
  const bytes = await readBytes(request, JSON_BYTES);
  const parsed = schema.safeParse(orRefused(bytes, "malformed-body"));
  if (!parsed.success) throw new ArqonError("malformed-body", problemText(parsed.error));
  return parsed.data;
}

/** The query's `tenant`. Throws `malformed-body` when it is missing, repeated or no id. */
export function tenantOf(url: URL): string {
  const [tenant = "", ...more] = url.searchParams.getAll("tenant");
  if (more.length > 0 || !isId(tenant)) {
    throw new ArqonError("malformed-body", "expected ?tenant= once, with a tenant id");
  }
  return tenant;
}

/** The query's parameter. Throws `invalid-settings` unless it is there once. */
export function parameterOf(url: URL, name: string): string {
  const [value, ...more] = url.searchParams.getAll(name);
  if (value !== undefined && value !== "" && more.length === 0) return value;
  throw new ArqonError("invalid-settings", `expected ?${name}= once`);
}

/**
 * The JSON value of a body. Rejects with `invalid-settings` when it is not JSON, or JSON that names a
 * member twice.
 */
export async function readValue(request: Request, max_bytes: number): Promise<unknown> {
  requireType(request, "application/json");
  return orRefused(await readBytes(request, max_bytes), "invalid-settings");
}

/** The same beside its text, for what passes on parts of it as they were written. */
export async function readValueAndText(
  request: Request,
  max_bytes: number,
): Promise<{ readonly value: unknown; readonly text: string }> {
  requireType(request, "application/json");
  const bytes = await readBytes(request, max_bytes);
  return {
    value: orRefused(bytes, "invalid-settings"),
    text: new TextDecoder().decode(bytes),
  };
}

/** Throws, with that reason, unless the bytes are JSON that means the same to everybody. */
function orRefused(bytes: Uint8Array, reason: "invalid-settings" | "malformed-body"): unknown {
  try {
    return parseStrictJsonBytes(bytes);
  } catch (cause) {
    throw new ArqonError(reason, problemOf(cause), { cause });
  }
}

/** With the runtime's words, which show the place: an operator sees nothing but their own text. */
function problemOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "it is not JSON";
  return cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message;
}
