/** What policies bring to a Shield. */
import type { Capability } from "../capability.ts";
import { inPath } from "../openapi/openapi_parts.ts";
import { POLICY_ROUTES } from "./admin_api.ts";
import { POLICY_SCHEMAS } from "./openapi_policies.ts";

/** WebAssembly policies. */
export const POLICIES: Capability = {
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
  start: (_env, { policies }) => ({ routes: POLICY_ROUTES.serve(policies.admin) }),
};
