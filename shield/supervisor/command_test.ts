/** The command of one Shield never has more permissions than its supervisor. */
import assert from "node:assert/strict";
import { configFrom } from "../../shared/config/load.ts";
import { shieldCommand } from "./command.ts";

const config = configFrom({
  server: { tls_cert: "/etc/tls/cert.pem", tls_key: "/etc/tls/key.pem" },
  nats: { urls: ["nats://nats.internal", "nats://10.0.0.2:4333"] },
  quota: { url: "redis://valkey.internal" },
  auth: {
    issuers: [{
      issuer: "i",
      audience: "a",
      jwks_url: "https://id.example.com/jwks",
      tenants: ["*"],
    }],
  },
});
const OPTIONS = {
  config,
  config_file: "/etc/arqon/shield.toml",
  program: "file:///srv/arqon/shield/main.ts",
};
/** What the flags say for one permission. */
const flag = (args: string[], name: string) =>
  args.find((arg) => arg === `--allow-${name}` || arg.startsWith(`--allow-${name}=`));

Deno.test("a supervisor with all permissions passes on all of them", () => {
  const { program, args } = shieldCommand(OPTIONS, () => true);
  assert.equal(program, Deno.execPath());
  assert.equal(flag(args, "net"), "--allow-net");
  assert.equal(flag(args, "read"), "--allow-read");
  assert.equal(flag(args, "run"), `--allow-run=${Deno.execPath()}`);
  for (const name of ["write", "env", "ffi", "sys", "all"]) {
    assert.equal(flag(args, name), undefined);
  }
  assert.equal(args.at(-1), OPTIONS.program);
  for (const needed of ["--no-prompt", "--unstable-net", "--ignore-env"]) {
    assert(args.includes(needed), needed);
  }
});

Deno.test("a supervisor with narrow permissions passes on those that it has and the configuration needs", () => {
  const files = ["/etc/arqon/shield.toml", "/etc/tls/key.pem", "/srv/arqon/"];
  const hosts = ["0.0.0.0:4000", "127.0.0.1", "nats.internal:4222", "id.example.com:443"];
  const { program, args } = shieldCommand(OPTIONS, (request) => {
    if (request.name === "net") return hosts.includes(request.host ?? "");
    if (request.name === "read") return files.includes(String(request.path ?? ""));
    return false;
  });
  assert.equal(program, "deno");
  assert.equal(flag(args, "net"), `--allow-net=${hosts.join(",")}`);
  assert.equal(flag(args, "read"), `--allow-read=${files.join(",")}`);
});

Deno.test("a Shield does not get a permission that the supervisor lacks", () => {
  const { args } = shieldCommand(OPTIONS, () => false);
  assert.equal(flag(args, "net"), undefined);
  assert.equal(flag(args, "read"), undefined);
});
