/** What transparency logs bring to a Shield. */
import { operatorTenants } from "../../shared/config/operators.ts";
import { scrapedFamily } from "../../shared/metrics/metrics_plain.ts";
import type { Capability } from "../capability.ts";
import type { Parts } from "../parts.ts";
import { HttpRates } from "../rates/http_rates.ts";
import type { ShieldOptions } from "../server.ts";
import { PROOF_ADMIN_ROUTES } from "./admin.ts";
import { PROOF_ROUTES, proofRoutes, publicProofs } from "./http.ts";
import type { ProofHttpContext } from "./http.ts";
import { ProofKeys, readProofKey } from "./keys.ts";
import { ProofService } from "./service.ts";

const TITLE = "transparency logs of rooms and of the audit log";

/** The service starts when the kernel is assembled, and is asked for with each request. */
const contextOf = ({ config, now }: ShieldOptions, parts: Parts): ProofHttpContext => ({
  service: () => parts.running.of(PROOF),
  operators: () => operatorTenants(config),
  bans: parts.bans,
  overseer: parts.policies,
  rates: new HttpRates(parts.rates, now),
  stats: parts.stats,
});

/** Records whose history nobody rewrites unnoticed. */
export const PROOF: Capability<ProofService> = {
  name: "proof",
  title: TITLE,
  client: {
    described: PROOF_ROUTES,
    tags: { proof: TITLE },
    routes: (env, parts) => proofRoutes(contextOf(env, parts)),
  },
  admin: { tables: [PROOF_ADMIN_ROUTES], tags: { proof: TITLE } },
  foreign: (env, parts) => publicProofs(contextOf(env, parts)),
  /** Throws when the file of the key cannot be read. */
  start(env, parts) {
    const { config, spine, log, registry, monotonic_ms, readTextFile } = env;
    const { logs, rooms: { classes }, tenants, node_id } = parts;
    const keys = new ProofKeys(spine, readProofKey(config.proof.key_file, readTextFile));
    const own_log = log.child({ part: "proof" });
    const service = new ProofService({
      ...{ config, keys, spine, logs, classes, tenants, node_id, monotonic_ms, log: own_log },
    });
    scrapedFamily(
      registry,
      "shield_proof_total",
      "Of transparency logs: entries and checkpoints that this Shield has signed, attempts that failed, breaks of a record, and forks: a stored log was not the one that was signed.",
      "what",
      () => ({ ...service.counts }),
    );
    return {
      own: service,
      routes: PROOF_ADMIN_ROUTES.serve({ keys, log: own_log, node_id }),
      begin: () => service.begin(),
      close: () => service.close(),
    };
  },
};
