/** What policies bring to a Shield. */
import type { Capability } from "../capability.ts";
import { inPath } from "../openapi/openapi_parts.ts";
import { POLICY_ROUTES } from "./admin_api.ts";
import { POLICY_SCHEMAS } from "./openapi_policies.ts";
import { type StartedOverseer, startOverseer } from "./start.ts";

/** WebAssembly policies. */
export const POLICIES: Capability<StartedOverseer> = {
  name: "policies",
  title: "WebAssembly policies",
  admin: {
    tables: [POLICY_ROUTES],
    tags: { policies: "WebAssembly policies" },
    names: {
      policy: inPath("policy", "its name"),
      module: inPath("module", "its sha256"),
    },
    schemas: POLICY_SCHEMAS,
  },
  async open(env, { running }) {
    const { candidates, traces, policyUsed: onUsed } = running.given;
    const asked = { ...env, candidates, traces, onUsed, log: env.overseer_log };
    const policies = await startOverseer(asked);
    const { overseer, checks, status, close } = policies;
    const start = () => ({ routes: POLICY_ROUTES.serve(policies.admin) });
    return { own: policies, gives: { policies: overseer }, checks, status, start, close };
  },
};
