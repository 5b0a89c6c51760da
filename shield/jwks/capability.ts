/** The capability for issuers whose keys are behind a URL. */
import { Counter } from "../../shared/metrics/metrics.ts";
import type { Capability } from "../capability.ts";
import { openKeySet } from "./remote_keys.ts";

/** The capability, for a Shield's list. */
export const JWKS: Capability = {
  name: "jwks",
  title: "keys of issuers that are fetched from a URL",
  keys({ config: { auth, limits }, registry, ...env }) {
    const fetches = new Counter({
      name: "shield_jwks_fetches_total",
      help: "Fetches of JWK sets, by issuer and result.",
      labelNames: ["issuer", "result"],
      registers: [registry],
    });
    const onFetch = (issuer: string, result: string) => fetches.inc({ issuer, result });
    const options = { ...env, auth, waiting_max: limits.waiting_verifications, onFetch };
    return (placed, url) => openKeySet(placed, url, options);
  },
};
