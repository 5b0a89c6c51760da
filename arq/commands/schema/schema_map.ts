/**
 * `arq schema map`, `unmap` and `mappings`: set, remove and list which Protobuf message a tenant's events
 * must be.
 */
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import { CommandError, EXIT, printable } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { mappingTable } from "../../answers/schema_text.ts";
import { subjectArgument } from "../../rooms/subject_argument.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import { tellSettings } from "../mirror/mirror_rules.ts";

/** The options of all three commands. */
export interface MappingFlags extends ConnectionFlags {
  /** Absent: the tenant that the subject names, else `ownTenant`. */
  readonly tenant?: string;
  /** Tenant of the context; absent: `default`. */
  readonly ownTenant?: string;
  readonly json?: boolean;
}

/** The options of `arq schema map`. */
export interface MapFlags extends MappingFlags {
  readonly message: string;
  readonly mode: string;
  readonly unknown: string;
}

const pathOf = (tenant: string) => `/v1/tenants/${encodeURIComponent(tenant)}/mappings`;

/** Maps a subject to a message. It replaces the subject's earlier mapping. */
export async function schemaMap(
  io: Io,
  subject_text: string,
  schema_id: string,
  flags: MapFlags,
): Promise<number> {
  const { tenant, subject } = subjectArgument(subject_text, flags.tenant, flags.ownTenant);
  const { message, mode, unknown: unknown_fields } = flags;
  const answer = await askAdmin(io, await findAdmin(io, flags), {
    method: "PUT",
    path: pathOf(tenant),
    body: JSON.stringify({ subject, schema_id, message, mode, unknown_fields }),
  });
  const done = `${subject} carries ${message} of ${schema_id} (${mode})`;
  return await tellSettings(io, answer, { json: flags.json === true, done });
}

/** Removes a mapping. Throws `CommandError` when there is none. */
export async function schemaUnmap(
  io: Io,
  subject_text: string,
  flags: MappingFlags,
): Promise<number> {
  const { tenant, subject } = subjectArgument(subject_text, flags.tenant, flags.ownTenant);
  const path = `${pathOf(tenant)}?${new URLSearchParams({ subject })}`;
  const answer = await askAdmin(io, await findAdmin(io, flags), { method: "DELETE", path });
  if (answer["changed"] === false) {
    throw new CommandError(
      `tenant ${tenant} has no mapping for ${subject}`,
      EXIT.failure,
      "arq schema mappings shows them; those of the configuration stay",
    );
  }
  return await tellSettings(io, answer, {
    json: flags.json === true,
    done: `the mapping of ${subject} is removed`,
  });
}

/** Prints the mappings that a tenant has set. */
export async function schemaMappings(
  io: Io,
  flags: MappingFlags & { readonly tenant: string },
): Promise<number> {
  const { tenant } = flags;
  const answer = await askAdmin(io, await findAdmin(io, flags), {
    method: "GET",
    path: pathOf(tenant),
  });
  if (flags.json === true) {
    await print(io.stdout, `${JSON.stringify(answer)}\n`);
    return EXIT.ok;
  }
  const problem = membersOf(answer["here"])["problem"];
  const bad = typeof problem === "string" ? `NOT IN FORCE: ${printable(problem)}\n` : "";
  const none = listOf(answer["mappings"]).length === 0
    ? `tenant ${tenant} has set no mappings\n`
    : "";
  await print(io.stdout, none + mappingTable(answer["mappings"]) + bad);
  return EXIT.ok;
}
