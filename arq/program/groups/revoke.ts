/** The command line of `arq auth revoke` and `revocations` as commander sees it. */
import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { asks, from } from "./asks.ts";
import { calls, examples, someTenant, span, withJson, withTenant } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const authRevoke = () => import("../../commands/auth/auth_revoke.ts");

/**
 * Reads a time: `now`, a span before now (`10m`), or a date in ISO 8601. The result is in Unix ms, or in ms
 * before now as a negative number.
 */
function issuedBefore(text: string): number {
  if (text === "now") return -0;
  if (/^\d+[smhd]?$/.test(text)) {
    return -span("--issued-before")(text) * 1_000;
  }
  const at_ms = Date.parse(text);
  if (/^\d{4}-\d\d-\d\d/.test(text) && !Number.isNaN(at_ms)) return at_ms;
  throw new InvalidArgumentError("Expected now, 10m (so long ago) or 2026-01-02T03:04:05Z.");
}

function addRevoke(auth: Command, run: Run): void {
  withTenant(withJson(auth.command("revoke")))
    .description("make tokens no longer good, on every Shield, within a second")
    .option("--user <id>", "the tokens of this user that were issued before now")
    .option("--token-id <jti>", "the token with this id")
    .option(
      "--issued-before <time>",
      "tokens issued before: now, 10m (so long ago) or a date; alone, of the whole tenant",
      issuedBefore,
    )
    .option(
      "--for <time>",
      "how long it stands: longer than such tokens live (default: [auth] revocation_seconds)",
      span("--for"),
    )
    .option("--reason <text>", "what the holder is told")
    .option("--undo", "lift the revocation instead")
    .addHelpText(
      "after",
      "\nOpen connections with such a token end with 4401; their SDK asks for a new token. A token" +
        "\nwithout iat counts as issued before everything. To keep a user out for good:\narq room ban --scope tenant --forever.\n" +
        examples(
          "arq auth revoke --tenant acme --user ann --reason 'lost phone'",
          "arq auth revoke --tenant acme --token-id 4f1c --for 15m",
          "arq auth revoke --tenant acme --issued-before now",
          "arq auth revoke --tenant acme --user ann --undo",
        ),
    )
    .action(run(calls(authRevoke, "revoke")));
}

/** Adds both commands to `arq auth`. */
export function addRevocations(auth: Command, run: Run): void {
  addRevoke(auth, run);
  someTenant(withJson(auth.command("revocations")), "only of this tenant")
    .description("what is revoked, of all tenants or of one")
    .addHelpText("after", examples("arq auth revocations", "arq auth revocations --tenant acme"))
    .action(
      run(asks({ route: "GET /v1/revocations?tenant", text: from(authRevoke, "revocationsText") })),
    );
}
