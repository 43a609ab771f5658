// Stands in for the parts of the API that the service does not have yet: the
// session, signing out, changing and deleting users, roles, deep health. To be
// deleted, with --stand-in, when it has them.

const SESSION = "/api/v1/auth/session";
const LOGOUT = "/api/v1/auth/logout";

export class StandIn {
  #admin;
  #url;
  #changes = new Map(); // by id: what was changed of a user
  #deleted = new Set(); // ids
  #denied = new Set(); // tokens

  constructor({ url, admin }) {
    this.#url = url;
    this.#admin = admin;
  }

  /** Makes the admin, as the service will at its start. */
  async prepare(browser) {
    const context = await browser.newContext({ baseURL: this.#url, ignoreHTTPSErrors: true });
    const response = await context.request.post("/api/v1/users", {
      data: { name: "Admin", ...this.#admin },
    });
    if (![201, 409].includes(response.status())) {
      throw new Error(`no admin was made: ${response.status()}`);
    }
    await context.close();
  }

  async serve(context) {
    await context.route(/\/api\/v1\/(auth\/(session|logout)|users|scaling)/, async (route) => {
      const request = route.request();
      const path = new URL(request.url()).pathname;
      const user = await this.#userOf(route, request.headers().authorization?.slice(7));
      const id = Number(/^\/api\/v1\/users\/(\d+)$/.exec(path)?.[1]);
      const key = `${request.method()} ${id ? "user" : path}`;
      const needsUser = [SESSION, LOGOUT].includes(path) || path.includes("/scaling/") || /^(PATCH|DELETE)/.test(key);
      if (needsUser && !user) {
        return answer(route, 401, { detail: "sign in first" });
      }
      if (key === `GET ${SESSION}`) {
        return answer(route, 200, { user, expires_at: new Date(Date.now() + 3_600_000).toISOString() });
      }
      if (key === `POST ${LOGOUT}`) {
        this.#denied.add(request.headers().authorization.slice(7));
        return answer(route, 204);
      }
      if (key === "PATCH user") {
        const target = await this.#find(route, id);
        this.#changes.set(id, { ...this.#changes.get(id), ...request.postDataJSON() });
        return answer(route, 200, this.#seen(target));
      }
      if (key === "DELETE user") {
        this.#deleted.add(id);
        return answer(route, 204);
      }
      if (path.includes("/scaling/")) {
        return user.role === "admin"
          ? answer(route, 200, { status: "healthy", database: { primary: { up: true } }, replicas: [] })
          : answer(route, 403, { detail: "for admins only" });
      }
      if (this.#deleted.has(id)) {
        return answer(route, 404, { detail: "there is nothing here" });
      }
      const response = await route.fetch();
      const body = await response.json();
      if (response.ok()) {
        const json = body.items
          ? { ...body, items: body.items.map((one) => this.#seen(one)) }
          : this.#seen(body);
        return route.fulfill({ response, json });
      }
      return route.fulfill({ response });
    });
  }

  async #userOf(route, token) {
    if (!token || this.#denied.has(token)) {
      return null;
    }
    const { sub } = JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString());
    return this.#deleted.has(Number(sub)) ? null : this.#seen(await this.#find(route, sub));
  }

  async #find(route, id) {
    const response = await route.fetch({ method: "GET", url: `${this.#url}/api/v1/users/${id}`, postData: "" });
    return response.json();
  }

  #seen(user) {
    const role = user.email === this.#admin.email ? "admin" : "user";
    return { role, ...user, ...this.#changes.get(user.id) };
  }
}

function answer(route, status, body) {
  return route.fulfill({
    status,
    headers: { "X-Served-By": "stand-in" },
    contentType: status < 400 ? "application/json" : "application/problem+json",
    body: body === undefined ? "" : JSON.stringify(body),
  });
}
