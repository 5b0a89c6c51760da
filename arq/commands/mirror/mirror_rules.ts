/** `arq mirror set`, `list`, `remove` and `reset`: change and list the mirror rules of a tenant. */
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import type { AdminRequest } from "../../bus/admin.ts";
import { CommandError, EXIT, printable } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { ruleTable } from "../../answers/mirror_text.ts";
import { listOf, membersOf, percentText } from "../../answers/policy_text.ts";
import { subjectArgument } from "../../rooms/subject_argument.ts";
import type { ConnectionFlags } from "../../bus/target.ts";

/** The options of all `arq mirror` commands. */
export interface MirrorFlags extends ConnectionFlags {
  /** Absent: the tenant that the subject names, else `ownTenant`; a listing then has all tenants. */
  readonly tenant?: string;
  /** Tenant of the context; absent: `default`. */
  readonly ownTenant?: string;
  readonly json?: boolean;
}

/** Prints the answer to a change of a tenant's settings. Returns 1 when this node has not put it in force. */
export async function tellSettings(
  io: Io,
  answer: Record<string, unknown>,
  told: { readonly json: boolean; readonly done: string },
): Promise<number> {
  const { tenant, version, here } = answer;
  const in_force = membersOf(here)["in_force"] === true;
  if (told.json) await print(io.stdout, `${JSON.stringify(answer)}\n`);
  else {
    const state = in_force ? "in force on this node" : "stored";
    const which = `version ${version} of the settings of tenant ${tenant} is ${state}`;
    await print(io.stdout, printable(`${told.done}: ${which}`) + "\n");
  }
  if (in_force) return EXIT.ok;
  await print(io.stderr, "arq: this node does not have it in force yet\n");
  return EXIT.failure;
}

const pathOf = (tenant: string) => `/v1/tenants/${encodeURIComponent(tenant)}/mirror`;

async function change(
  io: Io,
  flags: MirrorFlags,
  request: AdminRequest,
): Promise<Record<string, unknown>> {
  return await askAdmin(io, await findAdmin(io, flags), request);
}

/**
 * Sets a rule that mirrors a share of the messages below a prefix. It replaces the rule with the same prefix.
 */
export async function mirrorSet(
  io: Io,
  prefix_text: string,
  percent: number,
  flags: MirrorFlags,
): Promise<number> {
  const { tenant, subject: prefix } = subjectArgument(prefix_text, flags.tenant, flags.ownTenant);
  const body = JSON.stringify({ prefix, percent });
  const answer = await change(io, flags, { method: "PUT", path: pathOf(tenant), body });
  const done = `${prefix} is mirrored at ${percentText(percent)}`;
  return await tellSettings(io, answer, { json: flags.json === true, done });
}

/** Removes a tenant's rule. Throws `CommandError` when the tenant has none with this prefix. */
export async function mirrorRemove(
  io: Io,
  prefix_text: string,
  flags: MirrorFlags,
): Promise<number> {
  const { tenant, subject: prefix } = subjectArgument(prefix_text, flags.tenant, flags.ownTenant);
  const path = `${pathOf(tenant)}?${new URLSearchParams({ prefix })}`;
  const answer = await change(io, flags, { method: "DELETE", path });
  if (answer["changed"] === false) {
    throw new CommandError(
      `tenant ${tenant} has no rule for ${prefix}`,
      EXIT.failure,
      "arq mirror list shows the rules; those of the configuration stay",
    );
  }
  const done = `the rule for ${prefix} is removed`;
  return await tellSettings(io, answer, { json: flags.json === true, done });
}

/** Replaces a tenant's settings that the bus cannot read by empty ones. */
export async function mirrorReset(io: Io, flags: MirrorFlags): Promise<number> {
  const tenant = flags.tenant ?? "default";
  const path = `/v1/tenants/${encodeURIComponent(tenant)}/reset`;
  const answer = await change(io, flags, { method: "POST", path, body: "{}" });
  const done = "mirror rules, schema mappings and room classes are reset to none";
  return await tellSettings(io, answer, { json: flags.json === true, done });
}

/** Prints the rules in force on a node, or those that a tenant has set. */
export async function mirrorList(io: Io, flags: MirrorFlags): Promise<number> {
  const { tenant } = flags;
  const path = tenant === undefined ? "/v1/mirror" : pathOf(tenant);
  const answer = await change(io, flags, { method: "GET", path });
  if (flags.json === true) {
    await print(io.stdout, `${JSON.stringify(answer)}\n`);
    return EXIT.ok;
  }
  const rules = ruleTable(answer["rules"], tenant);
  const whose = tenant === undefined ? "" : ` by tenant ${tenant}`;
  const none = listOf(answer["rules"]).length === 0 ? `no mirror rules are set${whose}\n` : "";
  const more = answer["truncated"] === true ? "… and more\n" : "";
  const problem = membersOf(answer["here"])["problem"];
  const bad = typeof problem === "string" ? `NOT IN FORCE: ${printable(problem)}\n` : "";
  await print(io.stdout, none + rules + more + bad);
  return EXIT.ok;
}
