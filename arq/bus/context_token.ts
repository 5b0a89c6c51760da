/**
 * The token of a context: signed with the context's key, or read from its file. Also says what to do when the
 * bus refuses it. `target.ts` decides when a token is needed.
 */
import type { Context } from "./contexts.ts";
import { DEV_TENANT } from "./dev_bus.ts";
import { CommandError, EXIT } from "../terminal/exit.ts";
import type { Io } from "../terminal/io.ts";
import { parsePrivateKey, signToken } from "./token.ts";
import type { Role } from "./token.ts";

/**
 * Lifetime of a token, long enough for a person at work. A connection that lasts longer gets another token.
 */
const TOKEN_SECONDS = 3_600;

async function textOf(io: Io, { name }: Context, what: string, path: string): Promise<string> {
  try {
    return new TextDecoder().decode(await io.files.read(path));
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    throw new CommandError(
      `the ${what} of context ${name} cannot be read: ${path}: ${why}`,
      EXIT.refused,
      `arq context add ${name} --update names another`,
    );
  }
}

/** A token of this role for the context's bus. Throws when the context has neither a key nor a token file. */
export async function contextToken(io: Io, context: Context, role: Role): Promise<string> {
  const { name, key, issuer, audience, token_file, tenant } = context;
  if (token_file !== undefined) {
    return (await textOf(io, context, "token file", token_file)).trim();
  }
  if (key === undefined || issuer === undefined || audience === undefined) {
    throw new CommandError(
      `context ${name} has neither a key nor a token file`,
      EXIT.refused,
      `arq context add ${name} --update --token-file FILE, or give --token`,
    );
  }
  const jwk = parsePrivateKey(await textOf(io, context, "key", key), key);
  const claims = {
    issuer,
    audience,
    tenant: tenant ?? DEV_TENANT,
    user: `arq-${role}`,
    role,
    grants: undefined,
    ttl_seconds: TOKEN_SECONDS,
  };
  return await signToken(jwk, claims, io.now());
}

/** What to do when the bus refuses the context's token; undefined when the context has none. */
export function renewal(
  { name, key, issuer, token_file }: Context,
  role: Role,
): string | undefined {
  if (token_file !== undefined) {
    return `context ${name} has it from ${token_file}; put a good one of role ${role} there`;
  }
  if (key === undefined) return undefined;
  return `context ${name} signed it with ${key}; the bus must have its public part in the ` +
    `[[auth.issuers]] entry ${JSON.stringify(issuer)}, with role ${role}`;
}
