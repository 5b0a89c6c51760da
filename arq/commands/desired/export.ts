/**
 * `arq export`: writes the state in force of a tenant, or of the whole bus, as a folder for `arq plan` and `arq apply`.
 */
import { type Admin, findAdmin } from "../../bus/admin.ts";
import {
  exportFiles,
  exportTexts,
  SCHEMA_FILE,
  schemasText,
  setFile,
} from "../../desired/export_text.ts";
import { KINDS, type State, stateJsonSchema, type StateSchema } from "../../desired/form.ts";
import { failed, printable, usageError } from "../../terminal/exit.ts";
import { writeBelow } from "../../terminal/input.ts";
import { type Ended, type Io, note, resolvePath } from "../../terminal/io.ts";
import { readLive, readSchema, tenantsOf } from "./live_state.ts";
import type { Flags } from "../../program/flags.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { LOGS, save } from "../proof/proof.ts";
import { tenantFolders } from "./plan.ts";
import { BUS_FILE } from "./read_folder.ts";

/** `log`: transparency logs that are saved beside the state. */
type ExportFlags = Omit<Flags<"tenant">, "log"> & { readonly log?: readonly string[] };

/** Names the TOML files of an earlier export that are not part of this one: an apply reads them, too. */
async function nameOthers(
  io: Io,
  folders: readonly string[],
  written: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const [root = ""] = folders;
  for (const folder of folders) {
    const names = (await io.files.list(folder)).filter((name) => name.endsWith(".toml")).sort();
    for (const file of names.map((name) => `${folder}/${name}`.slice(root.length + 1))) {
      if (written.has(file)) continue;
      await note(io, `${printable(file)} is not part of this export, and is kept`);
    }
  }
}

/** The files of a tenant's state; in a folder of the bus without schemas, which are in its own file. */
async function stateFiles(
  admin: Admin,
  tenant: string,
  has_schemas: boolean,
): Promise<{ readonly bytes: Map<string, Uint8Array>; readonly state: State }> {
  const { state, sets } = await readLive(admin, tenant);
  const texts = exportTexts(tenant, state);
  const files = exportFiles(tenant, state);
  const bytes = new Map<string, Uint8Array>();
  for (const [file, text] of texts) bytes.set(file, new TextEncoder().encode(text));
  bytes.set(SCHEMA_FILE, schemaFile());
  for (const [file, path] of files.modules) bytes.set(file, await admin.bytes(path));
  if (!has_schemas) bytes.delete("schemas.toml");
  else for (const [file, id] of files.sets) bytes.set(file, sets.get(id) ?? new Uint8Array());
  return { bytes, state };
}

/** The JSON Schema with which editors check the files. */
function schemaFile(): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(stateJsonSchema(), null, 2)}\n`);
}

/** Throws for a folder that has files of its own, unless `force` allows replacing them. */
async function requireEmpty(io: Io, path: string, force: boolean): Promise<void> {
  const there = (await io.files.list(path)).some((name) => name.endsWith(".toml"));
  if (!there || force) return;
  const hint = "--force overwrites the files that it writes, and keeps others";
  throw failed(`${path} has .toml files already`, hint);
}

/** Writes the folder. Throws `CommandError` for one that has files of its own, unless it may be replaced. */
export async function exportState(io: Io, folder: string, flags: ExportFlags): Promise<Ended> {
  const path = resolvePath(io.cwd, folder);
  await requireEmpty(io, path, flags.force === true);
  // A log that is there already stays: its checkpoint may be somebody's evidence.
  const { log: logs = [], ...others } = flags;
  for (const log of logs) {
    if (/[/\\]/.test(log)) throw usageError("--log: expected a log of the bus: TENANT.ROOM");
    await save(io, log, `${folder}/${LOGS}/${log}`, others);
  }
  return await (flags.bus === true ? exportBus : exportTenant)(io, path, flags);
}

async function exportTenant(io: Io, path: string, flags: ExportFlags): Promise<Ended> {
  const admin = await findAdmin(io, flags);
  const { tenant } = flags;
  const { bytes, state } = await stateFiles(admin, tenant, true);
  for (const [file, content] of bytes) await writeBelow(io, `${path}/${file}`, content);
  await nameOthers(io, [path], bytes);
  const counts = KINDS.map((kind) => [kind, state[kind]?.length ?? 0] as const);
  const files = [...bytes.keys()].sort();
  const total = counts.map(([kind, count]) => `${kind} ${count}`).join(", ");
  return {
    json: { tenant, folder: path, files, ...Object.fromEntries(counts) },
    text: `${printable(path)}: the state of tenant ${tenant}: ${total}\n`,
  };
}

/** Writes a folder of the whole bus. */
async function exportBus(io: Io, path: string, flags: ExportFlags): Promise<Ended> {
  const force = flags.force === true;
  const admin = await findAdmin(io, flags);
  const { schemas: listed } = await admin.get("/v1/schemas");
  const schemas: StateSchema[] = [];
  const files = new Map<string, Uint8Array>();
  for (const id of listOf(listed).map((one) => String(membersOf(one)["schema_id"])).sort()) {
    const found = await readSchema(admin, id);
    if (found === undefined) continue;
    schemas.push({ id, unpacked_sha256: "", compatibility: found.compatibility });
    files.set(setFile(id), found.bytes);
  }
  files.set(BUS_FILE, new TextEncoder().encode(schemasText(schemas)));
  files.set(SCHEMA_FILE, schemaFile());
  const tenants = await tenantsOf(admin);
  for (const tenant of tenants) {
    await requireEmpty(io, `${path}/${tenant}`, force);
    const { bytes } = await stateFiles(admin, tenant, false);
    for (const [file, content] of bytes) files.set(`${tenant}/${file}`, content);
  }
  for (const [file, content] of files) await writeBelow(io, `${path}/${file}`, content);
  await nameOthers(io, [path, ...await tenantFolders(io, path)], files);
  const json = { folder: path, files: [...files.keys()].sort(), schemas: schemas.length, tenants };
  const counts = `schemas ${schemas.length}, tenants ${tenants.length}`;
  return { json, text: `${printable(path)}: the state of the bus: ${counts}\n` };
}
