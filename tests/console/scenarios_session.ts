/** Scenarios of signing in and out, of unauthenticated access, and of requests from other sites. */
import assert from "node:assert/strict";
import { atEnd } from "../../shared/testing/at_end.ts";
import { until } from "../../shared/testing/until.ts";
import { startBusWith } from "../harness/bus.ts";
import { client, columnTexts, DEADLINE_MS, openConsole, REBOUND, type Scenario } from "./world.ts";

const REFUSED = /the server responded with a status of 40[13]/;

const signsIn: Scenario = {
  name: "a wrong token is refused in the server's words, an admin's opens the overview",
  async run(world) {
    await using console = await openConsole(world, { token: "", expected: REFUSED });
    const { page } = console;
    const field = page.getByLabel("Admin token");
    const words = page.getByRole("alert");
    await field.fill("no.token.atall");
    await page.keyboard.press("Enter");
    await words.filter({ hasText: /token/i }).waitFor();
    const first = await words.innerText();
    await field.fill(await world.bus.tokenFor({ role: "admin", claims: { iss: "arqon-local" } }));
    await page.getByRole("button", { name: "Sign in" }).click();
    await words.filter({ hasText: '"arqon-local" is not trusted' }).waitFor();
    await words.filter({ hasText: "arq context show" }).waitFor();
    await field.fill(await world.bus.tokenFor({ role: "user" }));
    await page.getByRole("button", { name: "Sign in" }).click();
    await words.filter({ hasText: /role/i }).waitFor();
    assert.notEqual(await words.innerText(), first, "both refusals have the same words");

    await field.fill(`  Bearer ${world.admin}\n`);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    assert.ok(!page.url().includes(world.admin.slice(0, 12)), "the token is in the address");
    const stored = await page.evaluate<string>("JSON.stringify({...localStorage})");
    assert.equal(stored, "{}", "something is kept beyond the tab");

    await page.getByRole("button", { name: "Sign out" }).click();
    await field.waitFor();
    const left = await page.evaluate("sessionStorage.getItem('arqon-admin-token')");
    assert.equal(left, null, "the token is still there");
    await page.reload();
    await field.waitFor();
  },
};

const sessionEnds: Scenario = {
  name: "a token that is revoked meanwhile leads back to the sign-in with the reason",
  async run(world) {
    const token_id = `console-${crypto.randomUUID()}`;
    const claims = { jti: token_id };
    const token = await world.bus.tokenFor({ role: "admin", user: "leaver", claims });
    await using console = await openConsole(world, { token, expected: REFUSED });
    const { page } = console;
    await page.getByText("of 1 ready").or(page.getByText("of 2 ready")).waitFor();
    const answer = await fetch(`${world.bus.admin_url}/v1/revocations`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${world.admin}`,
        "content-type": "application/json",
      },
      body: JSON.stringify({ tenant: "default", token_id }),
    });
    assert.equal(answer.status, 200, await answer.text());
    await page.getByLabel("Admin token").waitFor();
    await page.getByRole("alert").filter({ hasText: /session has ended.*revoked/i }).waitFor();
  },
};

/** What a page of another site can try without a script's fetch: navigation by link and by form. */
function otherPage(admin_url: string): string {
  return `<title>other</title><a href="${admin_url}/v1/cluster">look</a>
    <form method="post" action="${admin_url}/v1/drain"><button>win</button></form>`;
}

const crossSite: Scenario = {
  name: "a page of another site gets nothing, with or without the token",
  async run(world) {
    const { admin_url } = world.bus;
    const headers = { "content-type": "text/html" };
    const other = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      () => new Response(otherPage(admin_url), { headers }),
    );
    const context = await world.browser.newContext();
    try {
      const page = await context.newPage();
      page.setDefaultTimeout(DEADLINE_MS);
      const address = `http://localhost:${(other.addr as Deno.NetAddr).port}/`;
      await page.goto(address);
      const attempt = (init: string) =>
        page.evaluate<string>(
          `fetch(${JSON.stringify(`${admin_url}/v1/cluster`)}, ${init})
            .then(() => "answered", () => "refused")`,
        );
      const token = JSON.stringify({ authorization: `Bearer ${world.admin}` });
      assert.equal(await attempt(`{ headers: ${token} }`), "refused");
      assert.equal(await attempt("{}"), "refused");
      assert.equal(await attempt('{ mode: "no-cors", method: "POST" }'), "refused");
      for (const [role, name] of [["link", "look"], ["button", "win"]] as const) {
        await page.goto(address);
        const answered = page.waitForResponse((it) => it.url().startsWith(`${admin_url}/v1/`));
        await page.getByRole(role, { name }).click();
        const response = await answered;
        assert.equal(response.status(), 403);
        await page.getByText("origin-not-allowed").first().waitFor();
      }
    } finally {
      await context.close();
      await other.shutdown();
    }
  },
};

const framed: Scenario = {
  name: "the page cannot be framed, and the root leads to it",
  async run(world) {
    const root = await fetch(`${world.bus.admin_url}/`, { redirect: "manual" });
    await root.body?.cancel();
    assert.equal(root.status, 302);
    assert.equal(root.headers.get("location"), "/console/");
    const page = await fetch(`${world.bus.admin_url}/console/`);
    await page.body?.cancel();
    const policy = page.headers.get("content-security-policy") ?? "";
    for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) {
      assert.ok(policy.includes(part), `${part} is not in ${policy}`);
    }
    assert.equal(page.headers.get("x-content-type-options"), "nosniff");
    assert.equal(page.headers.get("cache-control"), "no-store");
  },
};

const noAnswer: Scenario = {
  name: "a Shield that does not answer is said, and the console goes on when it does again",
  async run(world) {
    await using console = await openConsole(world, { expected: /Failed to load resource/ });
    const { page } = console;
    const state = page.locator("[data-part=cluster]");
    await state.filter({ hasText: "ready" }).waitFor();
    await page.route("**/v1/cluster", (route) => route.abort("connectionrefused"));
    await state.filter({ hasText: "no answer" }).waitFor();
    await page.getByRole("alert").filter({ hasText: "cannot be reached" }).waitFor();
    await page.unroute("**/v1/cluster");
    await state.filter({ hasText: "ready" }).waitFor();
    await until("the notice is removed", async () => await page.getByRole("alert").count() === 0);
  },
};

const oneTenant: Scenario = {
  name: "an admin of one tenant sees its tenant, and is told what is for operators",
  async run(world) {
    await using bus = await startBusWith('[admin]\noperator_tenants = ["ops"]\n');
    const token = await bus.tokenFor({ role: "admin", tenant: "acme", user: "chief" });
    const there = { ...world, bus };
    using _ann = await client(there, { tenant: "acme", user: "ann" });
    using _gus = await client(there, { tenant: "globex", user: "gus" });
    await using console = await openConsole(there, { token: "", expected: REFUSED });
    const { page } = console;
    await page.getByLabel("Admin token").fill(token);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "acme" }).waitFor();
    assert.equal(await page.locator("[data-part=cluster]").innerText(), "tenant acme");
    const links = await page.locator("nav a").allInnerTexts();
    const seen = ["Tenant", "Connections", "Rooms", "Tenants", "Policies", "Rollouts", "Schemas"];
    assert.deepEqual(links, [
      ...seen.slice(0, 3),
      "Playground",
      "Tenants",
      "Usage",
      ...seen.slice(4),
      "Mirror rules",
      "Journal",
      "Life of a message",
      "Bans",
      "Revocations",
      "Audit log",
    ]);
    for (const view of seen.slice(1)) {
      await page.getByRole("link", { name: view, exact: true }).click();
      await page.getByRole("heading", { name: view, exact: true }).waitFor();
      await page.getByRole("status").filter({ hasText: /Read at/ }).waitFor();
      assert.equal(await page.getByRole("alert").count(), 0, view);
    }
    await page.goto(`${bus.admin_url}/console/#/connections`);
    await page.getByText("1 connection.").waitFor();
    assert.deepEqual(await columnTexts(page, 3), ["ann"]);
    await page.goto(`${bus.admin_url}/console/#/connections?tenant=globex`);
    const words = page.getByRole("alert").filter({ hasText: "may act on tenant acme only" });
    await words.waitFor();
    for (const address of ["nodes", "limits", "log"]) {
      await page.goto(`${bus.admin_url}/console/#/${address}`);
      await page.getByText("[admin] operator_tenants").waitFor();
    }
    await page.goto(`${bus.admin_url}/console/#/revocations`);
    assert.equal(await page.locator("form.form input[name=tenant]").inputValue(), "acme");
    await page.reload();
    await page.getByText("tenant acme").waitFor();
  },
};

const otherName: Scenario = {
  name: "a page under another name that leads to the listener reads nothing of it",
  async run({ bus, browser }) {
    // A page loaded while the name still pointed elsewhere has no content policy of ours.
    const context = await browser.newContext({ bypassCSP: true });
    await using _end = atEnd(() => context.close());
    const page = await context.newPage();
    const { port } = new URL(bus.admin_url);
    const opened = await page.goto(`http://${REBOUND}:${port}/console/`);
    assert.equal(opened?.status(), 403);
    for (const path of ["/v1/openapi.json", "/v1/status", "/console/main.js"]) {
      const script = `fetch("${path}").then(async (it) => [it.status, (await it.json()).reason])`;
      assert.deepEqual(await page.evaluate(script), [403, "host-not-allowed"], path);
    }
    // The same listener answers by its own name.
    assert.equal((await page.goto(`${bus.admin_url}/console/`))?.status(), 200);
  },
};

/** In the order in which they run. */
export const SESSION_SCENARIOS: readonly Scenario[] = [
  signsIn,
  framed,
  crossSite,
  noAnswer,
  oneTenant,
  otherName,
  sessionEnds,
];
