/** `arq schema delete`: deletes a schema to which nothing is mapped, with all its versions. */
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { counted } from "../../answers/schema_text.ts";
import type { ShowFlags } from "./schema_show.ts";
import { schemaPath } from "./schema_push.ts";

/** Deletes a schema, and says what there was. */
export async function schemaDelete(io: Io, schema_id: string, flags: ShowFlags): Promise<number> {
  const admin = await findAdmin(io, flags);
  const answer = await askAdmin(io, admin, { method: "DELETE", path: schemaPath(schema_id) });
  const { version, versions } = answer;
  const kept = counted(Number(versions), "version");
  const text = `${schema_id} is deleted (${kept}, the newest ${version}); ` +
    `a push begins anew with version ${Number(version) + 1}`;
  const line = flags.json === true ? JSON.stringify(answer) : printable(text);
  await print(io.stdout, `${line}\n`);
  return EXIT.ok;
}
