/** The transparency logs capability of a Shield. */
import { operatorTenants } from "../../shared/config/operators.ts";
import { scrapedFamily } from "../../shared/metrics/metrics_plain.ts";
import type { Capability, Given, Parts, Running, ShieldOptions } from "../capability.ts";
import { HttpRates } from "../rates/http_rates.ts";
import {
  PROOF_ADMIN_ROUTES,
  PROOF_ROUTES,
  type ProofHttpContext,
  proofRoutes,
  publicProofs,
} from "./http.ts";
import { ProofKeys, readProofKey } from "./keys.ts";
import { ProofService } from "./service.ts";

const TITLE = "transparency logs of rooms and of records";

/** The service starts when the kernel is assembled, and each request looks it up. */
const contextOf = ({ config, now }: ShieldOptions, parts: Parts): ProofHttpContext => ({
  service: () => parts.running.of(PROOF),
  operators: () => operatorTenants(config),
  bans: parts.bans,
  overseer: parts.policies,
  rates: new HttpRates(parts.rates, now),
  stats: parts.stats,
});

/** Transparency logs: records that nobody can rewrite unnoticed. */
export const PROOF: Capability<ProofService> = {
  name: "proof",
  title: TITLE,
  config: ["proof"],
  room_class: ["proof", "proof_public"],
  stores: ["ARQON_PROOF", "ARQON_PROOF_KEYS"],
  client: {
    described: PROOF_ROUTES,
    tags: { proof: TITLE },
    routes: (env, parts) => proofRoutes(contextOf(env, parts)),
  },
  admin: { tables: [PROOF_ADMIN_ROUTES], tags: { proof: TITLE } },
  foreign: (env, parts) => publicProofs(contextOf(env, parts)),
  /** Throws if the key file cannot be read. */
  open(env, { running }) {
    const { config, spine, registry, monotonic_ms, readTextFile } = env;
    const log = env.log.child({ part: "proof" });
    const keys = new ProofKeys(spine, readProofKey(config.proof.key_file, readTextFile));
    const receipts: Given["receipts"] = async (...stored) =>
      await running.of(PROOF)?.receipt(...stored);
    const start = (
      { logs, rooms: { classes }, tenants, node_id }: Parts,
    ): Running<ProofService> => {
      const service = new ProofService({
        config,
        keys,
        spine,
        logs,
        classes,
        tenants,
        node_id,
        monotonic_ms,
        log,
        blocks: running.keeps(),
      });
      scrapedFamily(
        registry,
        "shield_proof_total",
        "Transparency logs: entries and checkpoints that this Shield has signed, failed attempts, breaks in a record, forks (a stored log that differs from the signed one), and witnesses: cosigned, or uncosigned if a witness has not signed.",
        "what",
        () => ({ ...service.counts }),
      );
      return {
        own: service,
        routes: PROOF_ADMIN_ROUTES.serve({ keys, log, node_id }),
        begin: () => service.begin(),
        close: () => service.close(),
      };
    };
    return { gives: { receipts }, start };
  },
};
