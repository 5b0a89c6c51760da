/**
 * The data that a replay reads from a bus: the journal of a tenant, and modules by their digest or by a policy's name.
 */
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { ArqonError } from "@arqon/sdk";
import { listOf, membersOf } from "../answers/policy_text.ts";
import type { Admin } from "../bus/admin.ts";
import { journalBytes } from "../journal/bus_journal.ts";
import { CommandError, failed } from "../terminal/exit.ts";
import { type JournalChunk, journalChunks, withoutRepeats } from "./journal_chunks.ts";
import type { ModuleSource } from "./replay_modules.ts";
import type { ReplaySelection } from "./selection.ts";
import { endedBy } from "../../shared/listeners/answer_body.ts";
import { openInput } from "../terminal/input.ts";
import { type Io, resolvePath } from "../terminal/io.ts";

/** The default tenant for requests to a bus. */
export const DEFAULT_TENANT = "default";

/** The journal of a bus at present, with payloads from rooms' logs. */
export function busChunks(
  admin: Admin,
  tenant: string,
  { policy, room, from_ms, until_ms }: ReplaySelection,
): AsyncIterable<JournalChunk> {
  const times = { since_ms: from_ms, until_ms };
  // The bus filters by single rooms; a pattern is matched here.
  const one_room = room?.endsWith("*") === true ? undefined : room;
  const about = { tenant, policy: policy || undefined, room: one_room, has_payloads: true };
  const bytes = journalBytes(admin, { ...about, ...times });
  return journalChunks(bytes, `the journal of ${admin.admin_url}`);
}

/** The modules that a tenant's policies name or named. */
export function busModules(admin: Admin, tenant: string): ModuleSource {
  return async (sha256) => {
    try {
      return await admin.bytes(`/v1/policies/modules/${sha256}`, { tenant });
    } catch (error) {
      if (error instanceof ArqonError && error.reason === "policy-unknown") return undefined;
      throw error;
    }
  };
}

/** `NAME` or `NAME@VERSION`. */
const NAMED = /^([\w~:=-]{1,64})(?:@(\d+))?$/;

/** The policy and version that an operand names; undefined: it names a file. */
export function namedPolicy(operand: string): { name: string; version?: number } | undefined {
  const [, name, version] = NAMED.exec(operand) ?? [];
  if (name === undefined) return undefined;
  return version === undefined ? { name } : { name, version: Number(version) };
}

/** The module of a policy, in force or in an earlier version. Throws a `CommandError` when there is none. */
export async function policyModule(
  admin: Admin,
  tenant: string,
  { name, version }: { readonly name: string; readonly version?: number },
): Promise<Uint8Array> {
  const document = await admin.get("/v1/policies", { tenant });
  const past = listOf(document["history"]).map(membersOf)
    .find((one) => one["version"] === version);
  const sha256 = version === undefined || version === document["version"]
    ? listOf(document["policies"]).map(membersOf).find((one) => one["name"] === name)?.["sha256"]
    : membersOf(past?.["modules"])[name];
  const bytes = typeof sha256 === "string" ? await busModules(admin, tenant)(sha256) : undefined;
  if (bytes !== undefined) return bytes;
  const of = version === undefined ? "" : ` in version ${version}`;
  throw failed(
    `tenant ${tenant} has no policy ${name}${of}`,
    "arq policy list --history shows them; a file is named with its ending, as p.wasm",
  );
}

/** The lines of a file, or of standard input for `-`. Throws a `CommandError` when there is no such file. */
export async function fileChunks(io: Io, file: string): Promise<AsyncIterable<JournalChunk>> {
  const source = file === "-" ? "stdin" : resolvePath(io.cwd, file);
  const bytes = unpacked(endedBy(await openInput(io, file), io.signal), source);
  return withoutRepeats(journalChunks(bytes, source));
}

/** The bytes, which may be one or several gzip files. Throws a `CommandError` for a damaged one. */
async function* unpacked(
  stream: AsyncIterable<Uint8Array>,
  source: string,
): AsyncGenerator<Uint8Array> {
  const bytes = stream[Symbol.asyncIterator]();
  const first = await bytes.next();
  const all = async function* () {
    for (let one = first; one.done !== true; one = await bytes.next()) yield one.value;
  };
  const is_gzip = first.done !== true && first.value[0] === 0x1f && first.value[1] === 0x8b;
  if (!is_gzip) return yield* all();
  const gunzip = createGunzip();
  pipeline(all, gunzip, () => {});
  try {
    yield* gunzip;
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code;
    if (typeof code !== "string" || !code.startsWith("Z_")) throw error;
    throw new CommandError(`${source}: the gzip file is cut off or damaged`);
  }
}
