/** `arq export --bus`: writes the schemas of the bus, and a folder for each tenant that has set anything. */
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import { SCHEMA_FILE, schemasText, setFile } from "../../desired/export_text.ts";
import type { StateSchema } from "../../desired/state.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import { tenantsOf } from "./bus_folder.ts";
import { requireEmpty, schemaFile, stateFiles, write } from "./export.ts";
import { readSchema } from "./live_state.ts";
import { BUS_FILE } from "./read_folder.ts";
import type { Flags } from "../../program/flags.ts";

/** Writes all of it. Throws `CommandError` for a folder that has files of its own, unless they may go. */
export async function exportBus(io: Io, folder: string, flags: Flags<"tenant">): Promise<number> {
  const path = resolvePath(io.cwd, folder);
  const force = flags.force === true;
  await requireEmpty(io, path, force);
  const admin = await findAdmin(io, flags);
  const { schemas: listed } = await askAdmin(io, admin, { method: "GET", path: "/v1/schemas" });
  const schemas: StateSchema[] = [];
  const files = new Map<string, Uint8Array>();
  for (const id of listOf(listed).map((one) => String(membersOf(one)["schema_id"])).sort()) {
    const found = await readSchema(io, admin, id);
    if (found === undefined) continue;
    schemas.push({ id, unpacked_sha256: "", compatibility: found.compatibility });
    files.set(setFile(id), found.bytes);
  }
  files.set(BUS_FILE, new TextEncoder().encode(schemasText(schemas)));
  files.set(SCHEMA_FILE, schemaFile());
  const tenants = await tenantsOf(io, admin);
  for (const tenant of tenants) {
    await requireEmpty(io, `${path}/${tenant}`, force);
    const { bytes } = await stateFiles(io, admin, tenant, false);
    for (const [file, content] of bytes) files.set(`${tenant}/${file}`, content);
  }
  for (const [file, content] of files) await write(io, path, file, content);
  const told = { folder: path, files: [...files.keys()].sort(), schemas: schemas.length, tenants };
  const text = flags.json === true
    ? JSON.stringify(told)
    : `${
      printable(path)
    }: the state of the bus: schemas ${schemas.length}, tenants ${tenants.length}`;
  await print(io.stdout, `${text}\n`);
  return EXIT.ok;
}
