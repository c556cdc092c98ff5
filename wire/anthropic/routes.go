package anthropic

import (
	"andon/correction"
	"andon/wire"
	"andon/wire/route"
)

// The routes below /v1 are those of the OpenAPI document that
// anthropic-sdk-go v1.84.0 is made from; a test holds the table against it. A
// query ?beta=true asks for the same route's beta form.

// kept is a route about something that the provider keeps.
func kept(api string, f correction.Features) wire.Route {
	return wire.Route{API: api, Op: wire.OpStored, Features: f}
}

// answers is kept, and hands out what a model put out.
func answers(api string, f correction.Features) wire.Route {
	return wire.Route{API: api, Op: wire.OpStored, Features: f, Answers: true}
}

var table = route.NewTable(
	route.On(wire.Route{API: Messages, Op: wire.OpGenerate, ModelIn: wire.ModelInBody, Named: true, SSE: true}, `POST:json /messages`),
	route.On(wire.Route{API: CountTokens, Op: wire.OpCountTokens, ModelIn: wire.ModelInBody, Named: true}, `POST:json /messages/count_tokens`),
	route.On(wire.Route{API: "anthropic.complete", Op: wire.OpGenerate, ModelIn: wire.ModelInBody, Named: true, SSE: true}, `POST:json /complete`),
	route.On(wire.Route{API: Models, Op: wire.OpListModels}, `GET /models`),
	route.On(wire.Route{API: Models, Op: wire.OpGetModel}, `GET /models/{model}`),

	// The requests of a batch stand in its body: BatchLines reads them.
	route.On(wire.Route{API: Batches, Op: wire.OpBatch, Features: correction.Batch}, `POST:json /messages/batches`),
	route.On(kept(Batches, 0), `
		GET        /messages/batches
		GET,DELETE /messages/batches/{message_batch}
		POST:none  /messages/batches/{message_batch}/cancel
	`),
	route.On(answers(Batches, 0), `GET /messages/batches/{message_batch}/results`),

	route.On(wire.Route{API: "anthropic.files", Op: wire.OpFile, Features: correction.Files}, `POST:form /files`),
	route.On(kept("anthropic.files", 0), `
		GET        /files
		GET,DELETE /files/{file}
	`),
	route.On(answers("anthropic.files", correction.Files), `GET /files/{file}/content`),
	route.On(wire.Route{API: "anthropic.skills", Op: wire.OpFile, Features: correction.Files}, `
		POST:form /skills
		POST:form /skills/{skill}/versions
	`),
	route.On(kept("anthropic.skills", 0), `
		GET        /skills
		GET,DELETE /skills/{skill}
		GET        /skills/{skill}/versions
		GET,DELETE /skills/{skill}/versions/{version}
		GET        /skills/{skill}/versions/{version}/content
	`),

	// Agents: what is laid down here runs later, with the model that it names.
	route.On(wire.Route{API: "anthropic.agents", Op: wire.OpRun, ModelIn: wire.ModelInBody, Named: true}, `POST:json /agents`),
	route.On(wire.Route{API: "anthropic.agents", Op: wire.OpRun, ModelIn: wire.ModelInBody}, `POST:json /agents/{agent}`),
	route.On(kept("anthropic.agents", 0), `
		GET       /agents
		GET       /agents/{agent}
		POST:none /agents/{agent}/archive
		GET       /agents/{agent}/versions
	`),
	route.On(wire.Route{API: "anthropic.deployments", Op: wire.OpRun}, `
		POST:json /deployments
		POST:json /deployments/{deployment}
		POST:none /deployments/{deployment}/run
		POST:none /deployments/{deployment}/unpause
	`),
	route.On(kept("anthropic.deployments", 0), `
		GET       /deployments
		GET       /deployments/{deployment}
		POST:none /deployments/{deployment}/archive
		POST:none /deployments/{deployment}/pause
		GET       /deployment_runs
		GET       /deployment_runs/{deployment_run}
	`),
	route.On(wire.Route{API: "anthropic.sessions", Op: wire.OpRun, Features: correction.StoredConversations}, `
		POST:json /sessions
		POST:json /sessions/{session}
		POST:json /sessions/{session}/events
	`),
	route.On(wire.Route{API: "anthropic.sessions", Op: wire.OpStored, Answers: true, Stream: true, SSE: true, Features: correction.StoredConversations | correction.Streaming}, `
		GET /sessions/{session}/events/stream
		GET /sessions/{session}/threads/{thread}/stream
	`),
	route.On(answers("anthropic.sessions", correction.StoredConversations), `
		GET /sessions
		GET /sessions/{session}
		GET /sessions/{session}/events
		GET /sessions/{session}/threads
		GET /sessions/{session}/threads/{thread}
		GET /sessions/{session}/threads/{thread}/events
	`),
	route.On(kept("anthropic.sessions", 0), `
		DELETE               /sessions/{session}
		POST:none            /sessions/{session}/archive
		POST:none            /sessions/{session}/threads/{thread}/archive
		GET,POST:json        /sessions/{session}/resources
		GET,POST:json,DELETE /sessions/{session}/resources/{resource}
	`),
	route.On(wire.Route{API: "anthropic.environments", Op: wire.OpStored, Features: correction.CodeExecution}, `
		POST:json /environments
		POST:json /environments/{environment}
	`),
	route.On(kept("anthropic.environments", 0), `
		GET           /environments
		GET,DELETE    /environments/{environment}
		POST:none     /environments/{environment}/archive
		GET           /environments/{environment}/work
		GET           /environments/{environment}/work/poll
		GET           /environments/{environment}/work/stats
		GET,POST:json /environments/{environment}/work/{work}
		POST:none     /environments/{environment}/work/{work}/ack
		POST:none     /environments/{environment}/work/{work}/heartbeat
		POST:json     /environments/{environment}/work/{work}/stop
	`),
	route.On(wire.Route{API: "anthropic.dreams", Op: wire.OpRun, ModelIn: wire.ModelInBody, Named: true}, `POST:json /dreams`),
	route.On(answers("anthropic.dreams", 0), `
		GET       /dreams
		GET       /dreams/{dream}
		POST:none /dreams/{dream}/archive
		POST:none /dreams/{dream}/cancel
	`),
	route.On(answers("anthropic.memory_stores", correction.StoredConversations), `
		GET,POST:json        /memory_stores
		GET,POST:json,DELETE /memory_stores/{memory_store}
		GET,POST:json        /memory_stores/{memory_store}/memories
		GET,POST:json,DELETE /memory_stores/{memory_store}/memories/{memory}
		GET                  /memory_stores/{memory_store}/memory_versions
		GET                  /memory_stores/{memory_store}/memory_versions/{memory_version}
	`),
	route.On(kept("anthropic.memory_stores", 0), `
		POST:none /memory_stores/{memory_store}/archive
		POST:none /memory_stores/{memory_store}/memory_versions/{memory_version}/redact
	`),
	route.On(wire.Route{API: "anthropic.tunnels", Op: wire.OpAccount, Features: correction.MCP}, `
		POST:json /tunnels
		POST:json /tunnels/{tunnel}/certificates
		POST:none /tunnels/{tunnel}/reveal_token
		POST:json /tunnels/{tunnel}/rotate_token
	`),
	route.On(wire.Route{API: "anthropic.tunnels", Op: wire.OpAccount}, `
		GET       /tunnels
		GET       /tunnels/{tunnel}
		POST:none /tunnels/{tunnel}/archive
		GET       /tunnels/{tunnel}/certificates
		GET       /tunnels/{tunnel}/certificates/{certificate}
		POST:none /tunnels/{tunnel}/certificates/{certificate}/archive
	`),
	route.On(kept("anthropic.vaults", 0), `
		GET,POST:json        /vaults
		GET,POST:json,DELETE /vaults/{vault}
		POST:none            /vaults/{vault}/archive
		GET,POST:json        /vaults/{vault}/credentials
		GET,POST:json,DELETE /vaults/{vault}/credentials/{credential}
		POST:none            /vaults/{vault}/credentials/{credential}/archive
		POST:none            /vaults/{vault}/credentials/{credential}/mcp_oauth_validate
	`),
	route.On(wire.Route{API: "anthropic.user_profiles", Op: wire.OpAccount}, `
		GET,POST:json        /user_profiles
		GET,POST:json,DELETE /user_profiles/{user_profile}
		POST:json            /user_profiles/{user_profile}/action_urls
		POST:none            /user_profiles/{user_profile}/enrollment_url
	`),
	route.On(wire.Route{API: "anthropic.organizations", Op: wire.OpAccount}, organizations),
)

// organizations is the administration of an account.
const organizations = `
		GET                   /organizations/analytics/apps/chat/projects
		GET                   /organizations/analytics/artifacts
		GET                   /organizations/analytics/connectors
		GET                   /organizations/analytics/cost_report
		GET                   /organizations/analytics/plugins
		GET                   /organizations/analytics/skills
		GET                   /organizations/analytics/summaries
		GET                   /organizations/analytics/usage_report
		GET                   /organizations/analytics/user_cost_report
		GET                   /organizations/analytics/user_usage_report
		GET                   /organizations/analytics/users
		GET                   /organizations/api_keys
		GET,POST:json         /organizations/api_keys/{api_key}
		GET,POST:json         /organizations/compliance_settings
		GET                   /organizations/cost_report
		GET,POST:json         /organizations/external_keys
		GET,POST:json,DELETE  /organizations/external_keys/{external_key}
		POST:none             /organizations/external_keys/{external_key}/validate
		GET,POST:json         /organizations/federation_issuers
		GET,POST:json         /organizations/federation_issuers/{federation_issuer}
		POST:none             /organizations/federation_issuers/{federation_issuer}/archive
		GET,POST:json         /organizations/federation_rules
		GET,POST:json         /organizations/federation_rules/{federation_rule}
		POST:none             /organizations/federation_rules/{federation_rule}/archive
		GET,POST:json         /organizations/federation_rules/{federation_rule}/workspaces
		DELETE                /organizations/federation_rules/{federation_rule}/workspaces/{workspace}
		GET,POST:json         /organizations/invites
		GET,DELETE            /organizations/invites/{invite}
		GET                   /organizations/me
		GET                   /organizations/plugin_marketplaces
		POST:form             /organizations/plugin_marketplaces/validate_archive
		POST:json             /organizations/plugin_marketplaces/validate_repository
		GET,POST:json         /organizations/plugin_marketplaces/{marketplace}
		GET,POST:form         /organizations/plugins
		GET,POST:json,DELETE  /organizations/plugins/{plugin}
		GET                   /organizations/plugins/{plugin}/installation_settings
		POST:json,DELETE      /organizations/plugins/{plugin}/installation_settings/{target}
		GET                   /organizations/plugins/{plugin}/shares
		GET,POST:form         /organizations/plugins/{plugin}/versions
		GET                   /organizations/plugins/{plugin}/versions/{version}
		GET                   /organizations/plugins/{plugin}/versions/{version}/content
		GET                   /organizations/rate_limits
		GET,POST:json         /organizations/rbac_groups
		GET,POST:json,DELETE  /organizations/rbac_groups/{rbac_group}
		GET,POST:json         /organizations/rbac_groups/{rbac_group}/members
		DELETE                /organizations/rbac_groups/{rbac_group}/members/{user}
		GET                   /organizations/rbac_roles
		GET                   /organizations/rbac_roles/{rbac_role}
		GET                   /organizations/rbac_roles/{rbac_role}/permissions
		GET,POST:json         /organizations/service_accounts
		GET,POST:json         /organizations/service_accounts/{service_account}
		POST:none             /organizations/service_accounts/{service_account}/archive
		GET,POST:json         /organizations/service_accounts/{service_account}/workspaces
		DELETE                /organizations/service_accounts/{service_account}/workspaces/{workspace}
		GET                   /organizations/spend_limit_increase_requests
		GET                   /organizations/spend_limit_increase_requests/{spend_limit_increase_request}
		POST:json             /organizations/spend_limit_increase_requests/{spend_limit_increase_request}/approve
		POST:json             /organizations/spend_limit_increase_requests/{spend_limit_increase_request}/deny
		GET,POST:json         /organizations/spend_limits
		GET                   /organizations/spend_limits/effective
		GET,DELETE            /organizations/spend_limits/{spend_limit}
		GET,POST:json         /organizations/telemetry_destinations
		GET,POST:json,DELETE  /organizations/telemetry_destinations/{destination}
		POST:none             /organizations/telemetry_destinations/{destination}/test
		GET                   /organizations/telemetry_destinations/{destination}/workspaces
		POST:none,DELETE      /organizations/telemetry_destinations/{destination}/workspaces/{workspace}
		GET                   /organizations/tunnels
		GET                   /organizations/tunnels/{tunnel}
		POST:none             /organizations/tunnels/{tunnel}/archive
		GET,POST:json         /organizations/tunnels/{tunnel}/certificates
		GET                   /organizations/tunnels/{tunnel}/certificates/{certificate}
		POST:none             /organizations/tunnels/{tunnel}/certificates/{certificate}/archive
		POST:none             /organizations/tunnels/{tunnel}/reveal_token
		POST:json             /organizations/tunnels/{tunnel}/rotate_token
		GET                   /organizations/usage_report/claude_code
		GET                   /organizations/usage_report/messages
		GET                   /organizations/users
		GET,POST:json,DELETE  /organizations/users/{user}
		GET,POST:json         /organizations/webhooks
		GET,POST:json,DELETE  /organizations/webhooks/{webhook_endpoint}
		POST:none             /organizations/webhooks/{webhook_endpoint}/regenerate_signing_secret
		GET,POST:json         /organizations/workspaces
		GET,POST:json         /organizations/workspaces/{workspace}
		POST:none             /organizations/workspaces/{workspace}/archive
		GET,POST:json         /organizations/workspaces/{workspace}/members
		GET,POST:json,DELETE  /organizations/workspaces/{workspace}/members/{user}
		GET                   /organizations/workspaces/{workspace}/rate_limits
		POST:json             /organizations/workspaces/{workspace}/rate_limits/{rate_limit}
		GET,POST:json         /organizations/workspaces/{workspace}/service_accounts
		GET,POST:json,DELETE  /organizations/workspaces/{workspace}/service_accounts/{service_account}
`
