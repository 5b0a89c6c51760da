/**
 * `arq plan` and `arq apply` beside a load: a rule is planned on messages of which the test keeps a ledger, and a
 * good one is applied, after which there is nothing to plan. What is wrong is said, not thrown.
 */
import { runArq } from "../../arq/testing/run_arq.ts";
import { until } from "../../shared/testing/until.ts";
import type { RawClient } from "../peers/raw_client.ts";
import { BAD_RULE, GOOD_RULE } from "../rollout_traffic.ts";

/** The room whose messages are in the journal; those of the load are not. */
export const PLANTED_ROOM = "planted";
/** For the configuration of each process. */
export const PLANTED_CONFIG = `
[journal]
flush_ms = 200
[[rooms]]
room = "${PLANTED_ROOM}"
journal = "all"
journal_payload = "keep"
`;
/** What is sent in turn: the old rule refuses "abc9", the bad one "abc7" as well. */
const TEXTS = ["abc1", "abc2", "abc7", "abc3", "abc9"];
const PLANNED_MS = 120_000;

/** The outcome of the messages. */
interface Ledger {
  readonly sent: number;
  /** Those that the bus took and that the bad rule refuses, by their sender. */
  readonly to_refuse: Readonly<Record<string, number>>;
}

/** Who asks, and as whom. */
export interface PlanTarget {
  readonly admin_url: string;
  readonly token: string;
  readonly tenant: string;
}

/** Each client, whose user is its name, sends so many, one after the other. */
export async function plant(
  clients: ReadonlyMap<string, RawClient>,
  messages: number,
): Promise<Ledger> {
  const to_refuse: Record<string, number> = {};
  await Promise.all([...clients].map(async ([user, client]) => {
    for (let id = 1; id <= messages; id++) {
      const data = TEXTS[id % TEXTS.length]!;
      client.send({ op: "pub", room: PLANTED_ROOM, data, id });
      const { code } = await client.json();
      if (code === 0 && data === "abc7") to_refuse[user] = (to_refuse[user] ?? 0) + 1;
    }
  }));
  return { sent: clients.size * messages, to_refuse };
}

/** A folder of one rule, and `arq` with it. */
export class PlannedFolder implements AsyncDisposable {
  readonly #path: string;
  readonly #target: readonly string[];

  private constructor(path: string, { admin_url, token }: PlanTarget) {
    this.#path = path;
    this.#target = ["--admin-url", admin_url, "--token", token];
  }

  /** Makes the folder, with the bad rule in it. */
  static async make(target: PlanTarget): Promise<PlannedFolder> {
    const path = await Deno.makeTempDir({ prefix: "arqon-planned-" });
    const text = `tenant = "${target.tenant}"\n[[policies]]\nname = "rule"\nmodule = "rule.wasm"\n`;
    await Deno.writeTextFile(`${path}/state.toml`, text);
    await Deno.writeFile(`${path}/rule.wasm`, BAD_RULE);
    return new PlannedFolder(path, target);
  }

  /** What is wrong with the plan of the bad rule, held against the ledger; a line of what it says. */
  async planBad({ sent, to_refuse }: Ledger): Promise<{ problems: string[]; line: string }> {
    // deno-lint-ignore no-explicit-any -- its members are looked at below
    let found: any;
    let code = 0;
    await until("the journal has all that was sent", async () => {
      const planned = await this.#arq("plan", "--since", "1h", "--json");
      code = planned.code;
      if (code !== 2) throw new Error(planned.stderr + planned.stdout);
      found = JSON.parse(planned.stdout).since[0];
      return found.decisions >= sent;
    }, PLANNED_MS);
    const expected = Object.values(to_refuse).reduce((sum, count) => sum + count, 0);
    const { decisions, repeated, allow_to_refuse, refuse_to_allow, recorded_different } = found;
    const said = { decisions, repeated, allow_to_refuse, refuse_to_allow, recorded_different };
    const right = { decisions: sent, repeated: sent, allow_to_refuse: expected };
    const all = { ...right, refuse_to_allow: 0, recorded_different: 0 };
    const sorted = (counts: object) => JSON.stringify(Object.entries(counts).sort());
    const problems = [
      ...(JSON.stringify(said) === JSON.stringify(all)
        ? []
        : [`the plan says ${JSON.stringify(said)}, the ledger ${JSON.stringify(all)}`]),
      ...(sorted(found.by_sender) === sorted(to_refuse)
        ? []
        : [`the plan says ${sorted(found.by_sender)} by sender, the ledger ${sorted(to_refuse)}`]),
    ];
    const line = `of ${sent} planted messages the plan would refuse ${allow_to_refuse}, ` +
      `by the ledger ${expected}`;
    return { problems, line };
  }

  /** Applies the good rule, after which there is nothing to plan. Resolves with what is wrong. */
  async applyGood(): Promise<string[]> {
    await Deno.writeFile(`${this.#path}/rule.wasm`, GOOD_RULE);
    const applied = await this.#arq("apply");
    if (applied.code !== 0) return [`arq apply: ${applied.code}, ${applied.stderr}`];
    const { code, stdout, stderr } = await this.#arq("plan", "--json");
    const rest = code === 0 ? JSON.parse(stdout) : undefined;
    if (rest?.changes.length === 0 && rest.drift === null) return [];
    return [`the plan after the apply is not empty: ${code}, ${stdout}${stderr}`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#path, { recursive: true });
  }

  #arq(command: string, ...options: readonly string[]) {
    return runArq([command, this.#path, ...options, ...this.#target]);
  }
}
