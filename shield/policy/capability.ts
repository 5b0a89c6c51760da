/** The policies capability of a Shield. */
import type { Capability, Opened } from "../capability.ts";
import { inPath } from "../openapi/openapi_parts.ts";
import { POLICY_ROUTES, POLICY_SCHEMAS } from "./admin_api.ts";
import { POLICY_STATS_ROUTES } from "./policy_stats.ts";
import { recordingReaders } from "./overseer.ts";
import { type StartedOverseer, startOverseer } from "./start.ts";

/** WebAssembly policies. */
export const POLICIES: Capability<StartedOverseer> = {
  name: "policies",
  title: "WebAssembly policies",
  config: ["policy"],
  stores: ["ARQON_POLICIES", "ARQON_MODULES", "ARQON_POLICY_VERDICTS", "ARQON_POLICY_QUARANTINE"],
  off: ({ platform }) => platform.overseer.enabled ? undefined : "platform.overseer",
  admin: {
    tables: [POLICY_ROUTES, POLICY_STATS_ROUTES],
    tags: { policies: "WebAssembly policies" },
    names: {
      policy: inPath("policy", "its name"),
      module: inPath("module", "its sha256"),
    },
    schemas: POLICY_SCHEMAS,
  },
  async open(env, { running }) {
    const { candidates, traces, journal, policyUsed: onUsed } = running.given;
    const parts = { ...env, candidates, traces, onUsed, log: env.overseer_log };
    const policies = await startOverseer(parts);
    const { overseer, table, checks, status, close } = policies;
    const start: Opened<StartedOverseer>["start"] = ({ cluster: { asker } }) => ({
      routes: [
        ...POLICY_ROUTES.serve(policies.admin),
        ...POLICY_STATS_ROUTES.serve({ asker, log: env.log }),
      ],
      forgets: policies.forgets,
      questions: { policy_stats: () => ({ rows: table?.rows() ?? [] }) },
    });
    return {
      own: policies,
      gives: { policies: recordingReaders(overseer, journal) },
      totals: () => ({ policy_verdicts: table?.verdicts() ?? {} }),
      checks,
      status,
      start,
      close,
    };
  },
};
