// A server as the form that adds one has it, and what that asks of the API.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AddServerRequestSchema } from "../gen/warder/admin/v1/server_pb";
import * as rules from "../ui/fieldRules";
import { commandMistake, wordsOf } from "./commandLine";
import {
  type Secret,
  serverRules,
  type Transport,
  toDuration,
  toHeaders,
  toVariables,
} from "./serverFields";

/** Where a server is, and who starts it. */
export type Place = "url" | "command" | "beside" | "declared";

export const places: { value: Place; label: string; description: string }[] = [
  {
    value: "url",
    label: "Nodes reach it by its address",
    description: "It speaks streamable HTTP, or HTTP with SSE.",
  },
  {
    value: "command",
    label: "An agent runs it",
    description: "A program that speaks over stdio. The agent's own file has to allow it.",
  },
  {
    value: "beside",
    label: "It speaks HTTP beside an agent",
    description: "At an address that the agent reaches, and nodes do not.",
  },
  {
    value: "declared",
    label: "An agent's own file declares it",
    description: "The file says what it is; the name is the one that it has there.",
  },
];

export interface NewServer extends Transport {
  name: string;
  place: Place;
  url: string;
  private: boolean;
  headers: Secret[];
  agent: string;
  /** As typed. */
  command: string;
  directory: string;
  environment: Secret[];
  shared: boolean;
}

const hasUrl = (place: Place) => place === "url" || place === "beside";

export const newServerRules = {
  ...serverRules,
  name: rules.serverName,
  url: (url: string, { place }: NewServer) => (hasUrl(place) ? rules.httpUrl(url) : null),
  headers: {
    name: (name: string, { place }: NewServer) => (place === "url" ? rules.required(name) : null),
  },
  caCertificates: (pem: string, { place }: NewServer) =>
    place === "url" ? rules.certificates(pem) : null,
  agent: (agent: string, { place }: NewServer) => (place === "url" ? null : rules.required(agent)),
  command: (typed: string, { place }: NewServer) =>
    place === "command" ? commandMistake(typed) : null,
  environment: {
    name: (name: string, { place }: NewServer) =>
      place === "command" ? rules.variableName(name) : null,
  },
};

/** What is asked of the API: of the fields those alone that belong to the place. */
export function toRequest(server: NewServer): MessageInitShape<typeof AddServerRequestSchema> {
  const { name, place, url, agent } = server;
  const request = {
    name,
    callTimeout: toDuration(server.callTimeout),
    maxInFlight: server.maxInFlight || 0,
  };
  switch (place) {
    case "url":
      return {
        ...request,
        url,
        private: server.private,
        headers: toHeaders(server.headers),
        caCertificates: server.caCertificates,
      };
    case "command":
      return {
        ...request,
        agent,
        command: wordsOf(server.command),
        directory: server.directory.trim(),
        environment: toVariables(server.environment),
        shared: server.shared,
      };
    case "beside":
      return { ...request, agent, url };
    case "declared":
      return { ...request, agent };
  }
}
