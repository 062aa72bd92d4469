// The pages and what each loads before it shows. A page is a chunk of its own;
// its loader is not, so that data and code arrive at the same time.

import type { Transport } from "@connectrpc/connect";
import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from "@tanstack/react-router";
import * as queries from "./api/queries";
import { parseSearch, pb } from "./paths";
import { PageError, PageNotFound, PagePending } from "./ui/pageStates";

export interface RouterContext {
  transport: Transport;
  queryClient: QueryClient;
  /** From the link printed at the first start; "" when there was none. */
  setupToken: string;
}

const root = createRootRouteWithContext<RouterContext>()({});

const setup = createRoute({
  getParentRoute: () => root,
  path: "/setup",
  loader: ({ context }) => context.queryClient.ensureQueryData(queries.health(context.transport)),
  component: lazyRouteComponent(() => import("./pages/SetupPage"), "SetupPage"),
});

const login = createRoute({
  getParentRoute: () => root,
  path: "/login",
  validateSearch: parseSearch.login,
  loader: ({ context }) => context.queryClient.ensureQueryData(queries.health(context.transport)),
  component: lazyRouteComponent(() => import("./pages/LoginPage"), "LoginPage"),
});

/** Everything behind the sign-in. */
const signedIn = createRoute({
  getParentRoute: () => root,
  id: "signed-in",
  beforeLoad: async ({ context, location }) => {
    try {
      await context.queryClient.ensureQueryData(queries.whoAmI(context.transport));
    } catch (error) {
      if (queries.isSignedOut(error)) {
        throw redirect(pb.login({ next: location.href }));
      }
      throw error;
    }
  },
  component: lazyRouteComponent(() => import("./ui/Shell"), "Shell"),
});

const overview = createRoute({
  getParentRoute: () => signedIn,
  path: "/",
  loader: ({ context: { queryClient, transport } }) =>
    Promise.all([
      queryClient.ensureQueryData(queries.health(transport)),
      queryClient.ensureQueryData(queries.servers(transport)),
      queryClient.ensureQueryData(queries.nodes(transport)),
      queryClient.ensureQueryData(queries.lastCalls(transport)),
    ]),
  component: lazyRouteComponent(() => import("./pages/OverviewPage"), "OverviewPage"),
});

const servers = createRoute({
  getParentRoute: () => signedIn,
  path: "/servers",
  validateSearch: parseSearch.servers,
  loader: ({ context: { queryClient, transport } }) =>
    queryClient.ensureQueryData(queries.servers(transport)),
  component: lazyRouteComponent(() => import("./pages/ServersPage"), "ServersPage"),
});

const tools = createRoute({
  getParentRoute: () => signedIn,
  path: "/tools",
  validateSearch: parseSearch.tools,
  loaderDeps: ({ search: { kind, server, state } }) => ({ kind, server, state }),
  loader: ({ context: { queryClient, transport }, deps }) =>
    Promise.all([
      queryClient.ensureQueryData(queries.servers(transport)),
      queryClient.ensureQueryData(queries.tools(transport, deps)),
    ]),
  component: lazyRouteComponent(() => import("./pages/ToolsPage"), "ToolsPage"),
});

const alerts = createRoute({
  getParentRoute: () => signedIn,
  path: "/alerts",
  validateSearch: parseSearch.alerts,
  loaderDeps: ({ search: { closed } }) => ({ closed }),
  loader: ({ context: { queryClient, transport }, deps: { closed = false } }) =>
    queryClient.ensureQueryData(queries.alerts(transport, closed)),
  component: lazyRouteComponent(() => import("./pages/AlertsPage"), "AlertsPage"),
});

// What only some tabs show is loaded by them.
const access = createRoute({
  getParentRoute: () => signedIn,
  path: "/access",
  validateSearch: parseSearch.access,
  loader: ({ context: { queryClient, transport } }) =>
    Promise.all([
      queryClient.ensureQueryData(queries.users(transport)),
      queryClient.ensureQueryData(queries.roles(transport)),
    ]),
  component: lazyRouteComponent(() => import("./pages/AccessPage"), "AccessPage"),
});

const trust = createRoute({
  getParentRoute: () => signedIn,
  path: "/trust",
  validateSearch: parseSearch.trust,
  loader: ({ context: { queryClient, transport } }) =>
    queryClient.ensureQueryData(queries.issuers(transport)),
  component: lazyRouteComponent(() => import("./pages/TrustPage"), "TrustPage"),
});

const fleet = createRoute({
  getParentRoute: () => signedIn,
  path: "/fleet",
  validateSearch: parseSearch.fleet,
  loader: ({ context: { queryClient, transport } }) =>
    queryClient.ensureQueryData(queries.nodes(transport)),
  component: lazyRouteComponent(() => import("./pages/FleetPage"), "FleetPage"),
});

const account = createRoute({
  getParentRoute: () => signedIn,
  path: "/account",
  loader: ({ context: { queryClient, transport } }) =>
    queryClient.ensureQueryData(queries.sessions(transport, "")),
  component: lazyRouteComponent(() => import("./pages/AccountPage"), "AccountPage"),
});

const policy = createRoute({
  getParentRoute: () => signedIn,
  path: "/policy",
  validateSearch: parseSearch.policy,
  loader: ({ context: { queryClient, transport } }) =>
    queryClient.ensureQueryData(queries.policy(transport)),
  component: lazyRouteComponent(() => import("./pages/PolicyPage"), "PolicyPage"),
});

const audit = createRoute({
  getParentRoute: () => signedIn,
  path: "/audit",
  validateSearch: parseSearch.audit,
  loaderDeps: ({ search: { call: _, ...filter } }) => filter,
  loader: async ({ context: { queryClient, transport }, deps }) => {
    if (deps.live !== true) {
      await queryClient.ensureInfiniteQueryData(queries.calls(transport, deps));
    }
  },
  component: lazyRouteComponent(() => import("./pages/AuditPage"), "AuditPage"),
});

const routeTree = root.addChildren([
  setup,
  login,
  signedIn.addChildren([
    overview,
    servers,
    tools,
    alerts,
    fleet,
    access,
    trust,
    account,
    policy,
    audit,
  ]),
]);

export function createAppRouter(context: RouterContext) {
  return createRouter({
    routeTree,
    context,
    defaultPreload: "intent",
    // react-query knows what is stale; the router need not.
    defaultPreloadStaleTime: 0,
    defaultPendingComponent: PagePending,
    defaultPendingMs: 200,
    defaultErrorComponent: PageError,
    defaultNotFoundComponent: PageNotFound,
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
