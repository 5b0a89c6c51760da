/** `arq policy list`: lists a tenant's policies in order, or all tenants with policies. */
import { plural } from "../../../shared/plural.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { historyTable, listOf, nodeTrouble, policyTable } from "../../answers/policy_text.ts";
import { quarantinedLines, tenantTable } from "../../answers/policy_text.ts";
import type { ConnectionFlags } from "../../bus/target.ts";

/** The options of `arq policy list`. */
export interface ListFlags extends ConnectionFlags {
  readonly tenant: string;
  readonly all?: boolean;
  readonly history?: boolean;
  readonly json?: boolean;
}

function tenantText(answer: Record<string, unknown>, history: boolean): string {
  const { tenant, version, policies } = answer;
  const count = listOf(policies).length;
  const some = count === 0 ? "no policies" : plural(count, "policy", "policies");
  const trouble = nodeTrouble(answer["here"], version);
  const parts = [
    printable(`tenant ${tenant}, version ${version}: ${some}`) + "\n",
    policyTable(policies),
    trouble === "" ? "" : `NOT IN FORCE: ${trouble}\n`,
    quarantinedLines(answer["quarantined"]),
  ];
  if (history) parts.push("\nearlier versions\n", historyTable(answer["history"]));
  return parts.join("");
}

function allText(answer: Record<string, unknown>): string {
  const rows = tenantTable(answer["tenants"]);
  const more = answer["truncated"] === true ? "… and more\n" : "";
  return rows === "" ? "no tenant has policies\n" : rows + more;
}

/** Prints the policies of a tenant, or the tenants. */
export async function policyList(io: Io, flags: ListFlags): Promise<number> {
  const admin = await findAdmin(io, flags);
  const query = flags.all === true ? "" : `?${new URLSearchParams({ tenant: flags.tenant })}`;
  const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/policies${query}` });
  const text = flags.json === true
    ? `${JSON.stringify(answer)}\n`
    : flags.all === true
    ? allText(answer)
    : tenantText(answer, flags.history === true);
  await print(io.stdout, text);
  return EXIT.ok;
}
