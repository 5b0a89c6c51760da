/**
 * The clock of a Shield steps over the end and the start of its certificate: it keeps running, its metric is unchanged,
 * and a renewed pair that a wrong clock refused is served once the clock is right.
 */
import assert from "node:assert/strict";
import { testCertificate } from "../shared/listeners/testing/certificate.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { createWallClock } from "./wall_clock.ts";

const DAY_S = 86_400;
const YEAR_S = 366 * DAY_S;

type Pair = Awaited<ReturnType<typeof testCertificate>>;

const inDays = (days: number) => new Date(Date.now() + days * DAY_S * 1_000);

Deno.test("a clock that steps over a certificate's end or start ends no Shield, and forbids no renewal for good", async () => {
  await using issuer = await createIssuer();
  const { dir, config } = issuer;
  const clock = await createWallClock(dir);
  if (clock === undefined) return;
  const write = async ({ cert, key }: Pair) => {
    await Deno.writeTextFile(`${dir}/cert.pem`, cert);
    await Deno.writeTextFile(`${dir}/key.pem`, key);
  };
  const first = await testCertificate(undefined, inDays(1));
  await write(first);
  const tls = `tls_cert = "${dir}/cert.pem"\ntls_key = "${dir}/key.pem"\n`;
  await using shield = await startServer("shield", config, dir, tls, { env: clock.env });
  const { url = "", ops_url = "" } = shield.ready;
  let ended = false;
  shield.status.then(() => ended = true);
  /** Whether a client that trusts only this certificate, with the right clock, gets an answer. */
  const serves = async ({ cert }: Pair) => {
    using client = Deno.createHttpClient({ caCerts: [cert] });
    return await fetch(`${url}/v1/auth/check`, { client }).then(
      async (answer) => (await answer.body?.cancel(), true),
      () => false,
    );
  };
  const ends = async () => {
    const page = await (await fetch(`${ops_url}/metrics`)).text();
    const found = /^shield_tls_certificate_not_after_seconds\{.*listener="client".*\} (\S+)$/m;
    return Number(found.exec(page)?.[1]);
  };
  const isWell = async (pair: Pair, what: string) => {
    // The process has checked its files and its own port since.
    await until(`${what}: it is ready`, async () => {
      const answer = await fetch(`${ops_url}/health/ready`);
      await answer.body?.cancel();
      return answer.status === 200;
    });
    assert.equal(await serves(pair), true, what);
    assert.equal(ended, false, shield.log());
  };
  const end_s = await ends();
  assert.ok(Math.abs(end_s * 1_000 - inDays(1).getTime()) < 3_600_000, `${end_s}`);
  for (const ahead_s of [3 * DAY_S, -3 * YEAR_S, 0]) {
    await clock.set(ahead_s);
    await isWell(first, `a clock ${ahead_s} s ahead`);
    assert.equal(await ends(), end_s);
  }
  const logged = (text: RegExp) => until(`${text}`, () => text.test(shield.log()));
  const second = await testCertificate([26, 49]);
  await clock.set(-3 * YEAR_S);
  await write(second);
  await logged(/problem="the certificate is good from 2026-01-01 on"/);
  await isWell(first, "the one before");
  await clock.set(0);
  await until("the renewed one is served", () => serves(second));
  assert.ok(await ends() > end_s);
  const third = await testCertificate(undefined, inDays(2));
  await clock.set(30 * DAY_S);
  await write(third);
  await logged(/problem="the certificate ended on /);
  await isWell(second, "the one before");
  await clock.set(0);
  await until("the third is served", () => serves(third));
  assert.equal(shield.log().match(/the TLS certificate was replaced/g)?.length, 2);
});
