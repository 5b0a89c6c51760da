/** The audit log's entries about the rows, once all have ended: docs/security.md, "The audit log". */
import { createHash } from "node:crypto";
import type { AdminClient } from "../peers/admin_client.ts";
import type { Row } from "./factors.ts";
import { changesOf } from "./model.ts";
import { OPERATOR } from "./stage.ts";

const PAGE = 1_000;
/** Rows whose problems are listed. */
const SHOWN = 12;

interface Entry {
  readonly seq: number;
  readonly previous: string;
  readonly request: string;
  readonly outcome: string;
  readonly action: string;
  readonly tenant: string | null;
  readonly by: string | null;
  readonly method: string;
  readonly path: string;
}

/**
 * All entries, each with the hash of the previous one: "`seq` has no holes and `previous` always is the entry before".
 */
async function chain(admin: AdminClient): Promise<Entry[]> {
  const entries: Entry[] = [];
  let hash: string | undefined;
  for (let lines: string[] = [""]; lines.length > 0;) {
    const { text } = await admin.get(
      `/v1/audit/entries?after=${entries.at(-1)?.seq ?? 0}&limit=${PAGE}`,
    );
    lines = text.split("\n").filter((line) => line !== "");
    for (const line of lines) {
      const entry: Entry = JSON.parse(line);
      const { seq, previous } = entry;
      const before = entries.at(-1);
      if (before !== undefined && (seq !== before.seq + 1 || previous !== hash)) {
        throw new Error(`the audit log: entry ${seq} does not follow ${before.seq}`);
      }
      entries.push(entry);
      hash = createHash("sha256").update(line).digest("hex");
    }
  }
  return entries;
}

/** Method and path of the request, without the prefix of all paths of the tenant, or of its room. */
const askedBy = ({ method, path }: Entry, tenant: string): string =>
  `${method} ${
    path.replace(/\?.*/, "").replace(
      new RegExp(`^/v1/(tenants/${tenant}|rooms/${tenant}/[^/]+)/`),
      "",
    )
  }`;

/** Compares the log's entries about the row's tenant with the model. */
function wrongOf(row: Row, tenant: string, entries: readonly Entry[], shields: number): string[] {
  const wrong: string[] = [];
  // The entries about faults have another author.
  const changes = entries.filter(({ by, method }) => by === OPERATOR && method !== "GET");
  const begun = new Map(
    changes.filter(({ outcome }) => outcome === "begun").map((one) => [one.request, one.seq]),
  );
  const done = changes.filter(({ outcome }) => outcome === "done");
  for (const { request, seq, path } of changes.filter(({ outcome }) => outcome !== "begun")) {
    if (!((begun.get(request) ?? Infinity) < seq)) wrong.push(`${path} is over before it begins`);
    begun.delete(request);
  }
  if (begun.size > 0) wrong.push(`${begun.size} requests begin and have no outcome`);
  const recorded = [
    ...done.map((one) => askedBy(one, tenant)),
    // An entry of the bus itself has no request.
    ...entries.filter(({ action }) => action === "budget.exhausted").map(({ action }) => action),
  ].toSorted();
  const wanted = changesOf(row, shields).toSorted();
  if (JSON.stringify(recorded) !== JSON.stringify(wanted)) {
    wrong.push(`the audit log has ${recorded}, the model: ${wanted}`);
  }
  return wrong;
}

/** Compares the audit log with what was done to the rows' tenants. Rejects with the differences. */
export async function audited(
  admin: AdminClient,
  shields: number,
  rows: readonly { readonly row: Row; readonly tenant: string }[],
): Promise<void> {
  const byTenant = Map.groupBy(await chain(admin), ({ tenant }) => tenant);
  const wrong = rows.flatMap(({ row, tenant }) => {
    const found = wrongOf(row, tenant, byTenant.get(tenant) ?? [], shields);
    return found.map((one) =>
      `row ${tenant}, ${Object.entries(row).map((one) => one.join("=")).join(" ")}\n  ${one}`
    );
  });
  if (wrong.length === 0) return;
  throw new Error(`${wrong.length} rows in the audit log:\n${wrong.slice(0, SHOWN).join("\n")}`);
}
