/**
 * The development key: an RS256 key pair under `.arqon/`. It is made once and used by every development bus
 * of that folder, so that tokens stay valid over restarts. Never for production, where `arq auth keys` makes
 * the key.
 */
import { exportJWK, generateKeyPair, importJWK, SignJWT } from "@panva/jose";
import type { JWK } from "@panva/jose";
import { DEV_AUDIENCE, DEV_ISSUER, DEV_KEY_FILE, DEV_TENANT } from "../bus/dev_bus.ts";

/** The key pair, and the files from which `arq` and the Shield read it. */
export interface DevKey {
  /** The private JWK, for `arq auth gen`; mode 0600. */
  readonly key_file: string;
  /** The public JWK set, for the Shield. */
  readonly jwks_file: string;
  readonly jwk: JWK;
}

/**
 * Reads the key in the folder `dir`, or makes it. Two processes that start at the same time get the same key.
 */
export async function devKey(dir: string): Promise<DevKey> {
  await Deno.mkdir(dir, { recursive: true });
  const key_file = `${dir}/${DEV_KEY_FILE}`;
  const jwks_file = `${dir}/dev-jwks.json`;
  let text = await readIfThere(key_file);
  if (text === undefined) {
    const temporary = `${dir}/dev-key.${Deno.pid}.tmp`;
    await Deno.writeTextFile(temporary, await newKey(), { mode: 0o600 });
    try {
      // Linking fails when the name exists. So the first process wins, and nobody reads half a file.
      await Deno.link(temporary, key_file);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
    await Deno.remove(temporary);
    text = await Deno.readTextFile(key_file);
  }
  const jwk: JWK = JSON.parse(text);
  const { kty, n, e, kid, alg } = jwk;
  const jwks_temporary = `${jwks_file}.${Deno.pid}.tmp`;
  await Deno.writeTextFile(jwks_temporary, JSON.stringify({ keys: [{ kty, n, e, kid, alg }] }));
  await Deno.rename(jwks_temporary, jwks_file);
  return { key_file, jwks_file, jwk };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function newKey(): Promise<string> {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const jwk = await exportJWK(privateKey);
  const kid = `dev-${crypto.randomUUID().slice(0, 8)}`;
  return JSON.stringify({ ...jwk, kid, alg: "RS256" });
}

/** A token of role `user` for the development bus, valid for 24 hours. */
export async function devToken(jwk: JWK): Promise<string> {
  return await new SignJWT({ tenant_id: DEV_TENANT, role: "user" })
    .setProtectedHeader({ alg: "RS256", kid: jwk.kid ?? "" })
    .setIssuer(DEV_ISSUER).setAudience(DEV_AUDIENCE).setSubject("dev")
    .setIssuedAt().setExpirationTime("24h")
    .sign(await importJWK(jwk, "RS256"));
}
