/**
 * The schemas of a folder of the whole bus, put in force one by one: they are nobody's but the bus's, so no
 * tenant's step carries them. Those of one tenant's folder are part of its step (`apply.ts`).
 */
import { askAdmin } from "../../bus/admin.ts";
import type { Admin } from "../../bus/admin.ts";
import type { Desired } from "../../desired/state.ts";
import { printable } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { schemaPath } from "./plan.ts";
import type { Compared } from "./plan.ts";

/** Takes back what was registered before one was refused. Whatever cannot be is told. */
async function takeBack(
  io: Io,
  admin: Admin,
  { schema_basis }: Compared,
  done: readonly string[],
): Promise<void> {
  for (const id of done) {
    const version = schema_basis[id] ?? 0;
    const request = version === 0
      ? { method: "DELETE", path: schemaPath(id) } as const
      : { method: "POST", path: schemaPath(id, `/rollback?version=${version}`) } as const;
    try {
      await askAdmin(io, admin, request);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const text = `schema ${id} is registered and could not be taken back: ${why}`;
      await print(io.stderr, `arq: ${printable(text)}\n`);
    }
  }
}

/** Registers those that change. Rejects as `askAdmin` does, with those before it taken back. */
export async function registerSchemas(
  io: Io,
  admin: Admin,
  { state, sets }: Desired,
  compared: Compared,
): Promise<void> {
  const done: string[] = [];
  try {
    for (const { id, compatibility } of state.schemas ?? []) {
      const body = sets.get(id);
      if (!Object.hasOwn(compared.schema_basis, id) || body === undefined) continue;
      const answer = await askAdmin(io, admin, {
        method: "PUT",
        path: schemaPath(id, "", compatibility),
        body,
        content_type: "application/gzip",
      });
      if (answer["registered"] === true) done.push(id);
    }
  } catch (error) {
    await takeBack(io, admin, compared, done);
    throw error;
  }
}
