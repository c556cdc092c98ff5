package openai

import (
	"andon/correction"
	"andon/wire"
	"andon/wire/route"
)

// The routes are those of OpenAI's OpenAPI document (spec 2.3.0) and of the
// reference in openai-go v3.96.0, which knows some that the document does not;
// a test holds the table against both. They stand below a root: /v1 and, as far
// as these have them, /openai/v1 and /openai (Azure) and /v1beta/openai (Gemini).

var (
	asksModel  = wire.Route{ModelIn: wire.ModelInBody}                         // the provider has a model of its own if none is named
	needsModel = wire.Route{ModelIn: wire.ModelInBody, Named: true}            // refused without one
	streams    = wire.Route{ModelIn: wire.ModelInBody, Named: true, SSE: true} // and may stream
)

// as completes one of the routes above.
func as(rt wire.Route, api string, op wire.Op, f correction.Features) wire.Route {
	rt.API, rt.Op, rt.Features = api, op, f
	return rt
}

// kept is a route about something that the provider keeps.
func kept(api string, f correction.Features) wire.Route {
	return wire.Route{API: api, Op: wire.OpStored, Features: f}
}

// answers is kept, and hands out what a model put out.
func answers(api string, f correction.Features) wire.Route {
	return wire.Route{API: api, Op: wire.OpStored, Features: f, Answers: true}
}

var table = route.NewTable(
	route.On(as(streams, Chat, wire.OpGenerate, 0), `POST:json /chat/completions`),
	route.On(as(streams, Responses, wire.OpGenerate, 0), `POST:json /responses`),
	route.On(as(streams, Completions, wire.OpGenerate, 0), `POST:json /completions`),
	route.On(as(needsModel, Embeddings, wire.OpEmbed, correction.Embeddings), `POST:json /embeddings`),
	route.On(wire.Route{API: Models, Op: wire.OpListModels}, `GET /models`),
	route.On(wire.Route{API: Models, Op: wire.OpGetModel}, `GET /models/{model}`),
	route.On(kept(Models, 0), `DELETE /models/{model}`),
	route.On(as(asksModel, InputTokens, wire.OpCountTokens, 0), `POST:json /responses/input_tokens`),
	route.On(as(needsModel, Compact, wire.OpGenerate, 0), `POST:json /responses/compact`),
	route.On(as(needsModel, "openai.decisions", wire.OpGenerate, 0), `POST:json /decisions`),

	route.On(as(streams, "openai.audio.transcriptions", wire.OpTranscribe, correction.AudioInput), `POST:form /audio/transcriptions`),
	route.On(as(needsModel, "openai.audio.translations", wire.OpTranscribe, correction.AudioInput), `POST:form /audio/translations`),
	route.On(as(streams, "openai.audio.speech", wire.OpSpeech, correction.AudioOutput), `POST:json /audio/speech`),
	route.On(wire.Route{API: "openai.images.generations", Op: wire.OpImage, ModelIn: wire.ModelInBody, SSE: true, Features: correction.ImageOutput},
		`POST:json /images/generations`),
	route.On(wire.Route{API: "openai.images.edits", Op: wire.OpImage, ModelIn: wire.ModelInBody, SSE: true, Features: correction.ImageInput | correction.ImageOutput},
		`POST:either /images/edits`),
	route.On(as(asksModel, "openai.images.variations", wire.OpImage, correction.ImageInput|correction.ImageOutput), `POST:form /images/variations`),
	route.On(as(asksModel, "openai.videos", wire.OpImage, correction.ImageOutput), `POST:either /videos`),
	route.On(wire.Route{API: "openai.videos", Op: wire.OpImage, Features: correction.ImageInput | correction.ImageOutput}, `
		POST:either /videos/edits
		POST:either /videos/extensions
		POST:either /videos/{video}/remix
		POST:form   /videos/characters
	`),
	route.On(answers("openai.videos", 0), `
		GET        /videos
		GET,DELETE /videos/{video}
		GET        /videos/{video}/content
		GET        /videos/characters/{character}
	`),
	route.On(as(asksModel, "openai.moderations", wire.OpModerate, 0), `POST:json /moderations`),
	route.On(wire.Route{API: "openai.content_provenance_checks", Op: wire.OpAccount, Features: correction.FileInput}, `POST:form /content_provenance_checks`),
	route.On(wire.Route{API: "openai.audio.voices", Op: wire.OpFile, Features: correction.Files | correction.AudioInput}, `
		POST:form /audio/voices
		POST:form /audio/voice_consents
	`),
	route.On(kept("openai.audio.voices", 0), `
		DELETE               /audio/voices/{voice}
		GET                  /audio/voice_consents
		GET,POST:json,DELETE /audio/voice_consents/{consent}
	`),

	// A socket of responses names its model in each message.
	route.On(wire.Route{API: "openai.responses.socket", Op: wire.OpRealtime, Upgrade: true, Features: correction.Realtime}, `GET /responses`),
	route.On(wire.Route{API: Realtime, Op: wire.OpRealtime, Upgrade: true, ModelIn: wire.ModelInQuery, Features: correction.Realtime}, `GET /realtime`),
	route.On(wire.Route{API: "openai.realtime.other", Op: wire.OpRealtime, Upgrade: true, ModelIn: wire.ModelInQuery, Features: correction.Realtime}, `
		GET /realtime/translations
		GET /live/sessions
		GET /live/sessions/{session}/attach
		GET /live/sessions/{session}/fork
	`),
	route.On(wire.Route{API: "openai.realtime.sessions", Op: wire.OpRealtime, Features: correction.Realtime}, `
		POST:form /realtime/calls
		POST:json /realtime/client_secrets
		POST:json /realtime/transcription_sessions
		POST:json /realtime/translations/client_secrets
	`),
	route.On(as(asksModel, "openai.realtime.sessions", wire.OpRealtime, correction.Realtime), `
		POST:json /realtime/calls/{call}/accept
		POST:json /realtime/sessions
		POST:json /live/sessions
		POST:json /live/sessions/{session}/accept
		POST:json /live/sessions/{session}/fork
	`),
	route.On(kept("openai.realtime.calls", 0), `
		POST:none /realtime/calls/{call}/hangup
		POST:json /realtime/calls/{call}/refer
		POST:json /realtime/calls/{call}/reject
		POST:json /live/sessions/{session}/hangup
		POST:json /live/sessions/{session}/refer
		POST:json /live/sessions/{session}/reject
	`),
	route.On(answers("openai.realtime.calls", 0), `GET /live/sessions/{session}/content`),

	route.On(answers("openai.chat.stored", correction.StoredConversations), `
		GET                  /chat/completions
		GET,POST:json,DELETE /chat/completions/{completion}
		GET                  /chat/completions/{completion}/messages
	`),
	route.On(wire.Route{API: "openai.responses.stored", Op: wire.OpStored, Answers: true, SSE: true, Features: correction.StoredConversations}, `
		GET,DELETE /responses/{response}
	`),
	route.On(answers("openai.responses.stored", correction.StoredConversations), `GET /responses/{response}/input_items`),
	route.On(answers("openai.responses.stored", 0), `POST:none /responses/{response}/cancel`),
	route.On(kept("openai.conversations", correction.StoredConversations), `POST:json /conversations`),
	route.On(answers("openai.conversations", correction.StoredConversations), `
		GET,POST:json,DELETE /conversations/{conversation}
		GET,POST:json        /conversations/{conversation}/items
		GET,DELETE           /conversations/{conversation}/items/{item}
	`),

	route.On(wire.Route{API: "openai.batches", Op: wire.OpBatch, Features: correction.Batch}, `POST:json /batches`),
	route.On(kept("openai.batches", 0), `
		GET       /batches
		GET       /batches/{batch}
		POST:none /batches/{batch}/cancel
	`),
	route.On(wire.Route{API: "openai.files", Op: wire.OpFile, Features: correction.Files}, `
		POST:form /files
		POST:json /uploads
		POST:json /uploads/{upload}/complete
		POST:form /uploads/{upload}/parts
	`),
	route.On(kept("openai.files", 0), `
		GET        /files
		GET,DELETE /files/{file}
		POST:none  /uploads/{upload}/cancel
	`),
	route.On(answers("openai.files", correction.Files), `GET /files/{file}/content`),
	route.On(as(needsModel, "openai.fine_tuning", wire.OpFineTune, correction.FineTuneCreate), `POST:json /fine_tuning/jobs`),
	route.On(wire.Route{API: "openai.fine_tuning", Op: wire.OpFineTune, Features: correction.FineTuneCreate}, `
		POST:none /fine_tuning/jobs/{fine_tuning_job}/resume
	`),
	route.On(kept("openai.fine_tuning", 0), `
		GET       /fine_tuning/jobs
		GET       /fine_tuning/jobs/{fine_tuning_job}
		POST:none /fine_tuning/jobs/{fine_tuning_job}/cancel
		POST:none /fine_tuning/jobs/{fine_tuning_job}/pause
		GET       /fine_tuning/jobs/{fine_tuning_job}/checkpoints
		GET       /fine_tuning/jobs/{fine_tuning_job}/events
		GET       /fine_tuning/checkpoints/{model}/permissions
		DELETE    /fine_tuning/checkpoints/{model}/permissions/{permission}
	`),
	route.On(wire.Route{API: "openai.fine_tuning", Op: wire.OpAccount, Features: correction.FineTuneServe}, `
		POST:json /fine_tuning/checkpoints/{model}/permissions
	`),
	route.On(wire.Route{API: "openai.graders", Op: wire.OpRun}, `
		POST:json /fine_tuning/alpha/graders/run
		POST:json /fine_tuning/alpha/graders/validate
	`),

	route.On(wire.Route{API: "openai.evals", Op: wire.OpRun}, `
		POST:json /evals
		POST:json /evals/{eval}/runs
	`),
	route.On(kept("openai.evals", 0), `
		GET                  /evals
		GET,POST:json,DELETE /evals/{eval}
		GET                  /evals/{eval}/runs
		POST:none,DELETE     /evals/{eval}/runs/{run}
	`),
	route.On(answers("openai.evals", 0), `
		GET /evals/{eval}/runs/{run}
		GET /evals/{eval}/runs/{run}/output_items
		GET /evals/{eval}/runs/{run}/output_items/{output_item}
	`),
	route.On(as(needsModel, "openai.assistants", wire.OpRun, 0), `POST:json /assistants`),
	route.On(as(asksModel, "openai.assistants", wire.OpRun, 0), `POST:json /assistants/{assistant}`),
	route.On(kept("openai.assistants", 0), `
		GET        /assistants
		GET,DELETE /assistants/{assistant}
	`),
	route.On(wire.Route{API: "openai.threads.runs", Op: wire.OpRun, ModelIn: wire.ModelInBody, SSE: true, Features: correction.StoredConversations}, `
		POST:json /threads/runs
		POST:json /threads/{thread}/runs
	`),
	route.On(wire.Route{API: "openai.threads.runs", Op: wire.OpRun, SSE: true, Features: correction.StoredConversations}, `
		POST:json /threads/{thread}/runs/{run}/submit_tool_outputs
	`),
	route.On(kept("openai.threads.runs", 0), `POST:none /threads/{thread}/runs/{run}/cancel`),
	route.On(answers("openai.threads", correction.StoredConversations), `
		POST:json            /threads
		GET,POST:json,DELETE /threads/{thread}
		GET,POST:json        /threads/{thread}/messages
		GET,POST:json,DELETE /threads/{thread}/messages/{message}
		GET                  /threads/{thread}/runs
		GET,POST:json        /threads/{thread}/runs/{run}
		GET                  /threads/{thread}/runs/{run}/steps
		GET                  /threads/{thread}/runs/{run}/steps/{step}
	`),

	route.On(wire.Route{API: "openai.containers", Op: wire.OpRun, Features: correction.CodeExecution}, `POST:json /containers`),
	route.On(wire.Route{API: "openai.containers", Op: wire.OpFile, Features: correction.CodeExecution | correction.Files}, `
		POST:either /containers/{container}/files
	`),
	route.On(kept("openai.containers", 0), `
		GET        /containers
		GET,DELETE /containers/{container}
		GET        /containers/{container}/files
		GET,DELETE /containers/{container}/files/{file}
	`),
	route.On(answers("openai.containers", correction.Files), `GET /containers/{container}/files/{file}/content`),
	route.On(wire.Route{API: "openai.skills", Op: wire.OpFile, Features: correction.Files}, `
		POST:either /skills
		POST:either /skills/{skill}/versions
	`),
	route.On(kept("openai.skills", 0), `
		GET                  /skills
		GET,POST:json,DELETE /skills/{skill}
		GET                  /skills/{skill}/content
		GET                  /skills/{skill}/versions
		GET,DELETE           /skills/{skill}/versions/{version}
		GET                  /skills/{skill}/versions/{version}/content
	`),
	route.On(kept("openai.vector_stores", correction.FileSearch), `
		POST:json /vector_stores
		POST:json /vector_stores/{vector_store}
		POST:json /vector_stores/{vector_store}/file_batches
		POST:json /vector_stores/{vector_store}/files
		POST:json /vector_stores/{vector_store}/files/{file}
		POST:json /vector_stores/{vector_store}/search
	`),
	route.On(kept("openai.vector_stores", 0), `
		GET        /vector_stores
		GET,DELETE /vector_stores/{vector_store}
		GET        /vector_stores/{vector_store}/file_batches/{batch}
		POST:none  /vector_stores/{vector_store}/file_batches/{batch}/cancel
		GET        /vector_stores/{vector_store}/file_batches/{batch}/files
		GET        /vector_stores/{vector_store}/files
		GET,DELETE /vector_stores/{vector_store}/files/{file}
		GET        /vector_stores/{vector_store}/files/{file}/content
	`),

	route.On(wire.Route{API: "openai.chatkit", Op: wire.OpRun, Features: correction.StoredConversations}, `POST:json /chatkit/sessions`),
	route.On(kept("openai.chatkit", 0), `
		POST:none  /chatkit/sessions/{session}/cancel
		DELETE     /chatkit/threads/{thread}
	`),
	route.On(answers("openai.chatkit", correction.StoredConversations), `
		GET /chatkit/threads
		GET /chatkit/threads/{thread}
		GET /chatkit/threads/{thread}/items
	`),
	route.On(as(asksModel, "openai.agents", wire.OpRun, 0), `
		POST:json /agents
		POST:json /agents/{agent}
	`),
	route.On(wire.Route{API: "openai.agents.sessions", Op: wire.OpRun, ModelIn: wire.ModelInBody, SSE: true, Features: correction.StoredConversations}, `
		POST:json /agents/sessions
		POST:json /agents/sessions/{session}
		POST:json /agents/sessions/{session}/events
	`),
	route.On(wire.Route{API: "openai.agents.sessions", Op: wire.OpStored, Answers: true, SSE: true, Features: correction.StoredConversations}, `
		GET /agents/sessions/{session}/events
	`),
	route.On(answers("openai.agents.sessions", correction.StoredConversations), `
		GET        /agents/sessions
		GET,DELETE /agents/sessions/{session}
		GET        /agents/sessions/{session}/artifacts
		GET,DELETE /agents/sessions/{session}/artifacts/{artifact}
		GET        /agents/sessions/{session}/artifacts/{artifact}/content
		GET        /agents/sessions/{session}/items
		GET        /agents/sessions/{session}/subagents
		GET        /agents/sessions/{session}/subagents/{subagent}
		GET        /agents/sessions/{session}/subagents/{subagent}/items
		GET        /agents/sessions/{session}/subagents/{subagent}/turns
		GET        /agents/sessions/{session}/subagents/{subagent}/turns/{turn}
		GET        /agents/sessions/{session}/subagents/{subagent}/turns/{turn}/items
		GET        /agents/sessions/{session}/traces
		GET        /agents/sessions/{session}/turns
		GET        /agents/sessions/{session}/turns/{turn}
		GET        /agents/sessions/{session}/turns/{turn}/items
	`),
	route.On(wire.Route{API: "openai.agents.environments", Op: wire.OpRun, Features: correction.CodeExecution}, `
		POST:json   /agents/environments
		POST:json   /agents/environments/templates
		POST:json   /agents/environments/templates/{environment_template}
		POST:either /agents/environments/{environment}/files
	`),
	route.On(kept("openai.agents", 0), `
		GET        /agents
		GET,DELETE /agents/{agent}
		GET        /agents/environments
		GET        /agents/environments/templates
		GET,DELETE /agents/environments/templates/{environment_template}
		GET        /agents/environments/{environment}
		GET        /agents/environments/{environment}/files
	`),
	route.On(kept("openai.vaults", 0), `
		GET,POST:json        /vaults
		GET,POST:json,DELETE /vaults/{vault}
		GET,POST:json        /vaults/{vault}/credentials
		GET,POST:json,DELETE /vaults/{vault}/credentials/{credential}
	`),

	route.On(wire.Route{API: "openai.account", Op: wire.OpAccount}, `
		GET                  /safety/alerts/{alert}
		GET                  /safety/cases/{case}
		GET,POST:json        /webhook_endpoints
		GET,POST:json,DELETE /webhook_endpoints/{webhook_endpoint}
		POST:json            /webhook_endpoints/{webhook_endpoint}/rotate_secret
		POST:json            /webhook_endpoints/{webhook_endpoint}/test
		GET                  /webhook_event_types
	`),
	route.On(wire.Route{API: "openai.organization", Op: wire.OpAccount}, organization),
)

// organization is the administration of an account.
const organization = `
		GET,POST:json         /organization/admin_api_keys
		GET,DELETE            /organization/admin_api_keys/{key}
		GET                   /organization/audit_logs
		GET,POST:json         /organization/certificates
		POST:json             /organization/certificates/activate
		POST:json             /organization/certificates/deactivate
		GET,POST:json,DELETE  /organization/certificates/{certificate}
		GET                   /organization/costs
		GET,POST:json         /organization/data_retention
		GET,POST:json         /organization/external_keys
		GET,DELETE            /organization/external_keys/{external_key}
		POST:json             /organization/external_keys/{external_key}/validate
		GET,POST:json         /organization/external_storage
		GET,DELETE            /organization/external_storage/{external_storage}
		POST:json             /organization/external_storage/{external_storage}/validate
		GET,POST:json         /organization/groups
		GET,POST:json,DELETE  /organization/groups/{group}
		GET,POST:json         /organization/groups/{group}/roles
		GET,DELETE            /organization/groups/{group}/roles/{role}
		GET,POST:json         /organization/groups/{group}/users
		GET,DELETE            /organization/groups/{group}/users/{user}
		GET,POST:json         /organization/invites
		GET,DELETE            /organization/invites/{invite}
		GET,POST:json         /organization/projects
		GET,POST:json         /organization/projects/{project}
		GET                   /organization/projects/{project}/api_keys
		GET,POST:json,DELETE  /organization/projects/{project}/api_keys/{api_key}
		POST:none             /organization/projects/{project}/archive
		GET                   /organization/projects/{project}/certificates
		POST:json             /organization/projects/{project}/certificates/activate
		POST:json             /organization/projects/{project}/certificates/deactivate
		GET,POST:json         /organization/projects/{project}/data_retention
		GET,POST:json         /organization/projects/{project}/groups
		GET,DELETE            /organization/projects/{project}/groups/{group}
		GET,POST:json         /organization/projects/{project}/hosted_tool_permissions
		GET,POST:json,DELETE  /organization/projects/{project}/model_permissions
		GET                   /organization/projects/{project}/rate_limits
		POST:json             /organization/projects/{project}/rate_limits/{rate_limit}
		GET,POST:json         /organization/projects/{project}/service_accounts
		GET,POST:json,DELETE  /organization/projects/{project}/service_accounts/{service_account}
		POST:json             /organization/projects/{project}/service_accounts/{service_account}/api_keys
		GET,POST:json         /organization/projects/{project}/service_tier_settings
		GET,POST:json         /organization/projects/{project}/spend_alerts
		GET,POST:json,DELETE  /organization/projects/{project}/spend_alerts/{alert}
		GET,POST:json,DELETE  /organization/projects/{project}/spend_limit
		GET,POST:json         /organization/projects/{project}/users
		GET,POST:json,DELETE  /organization/projects/{project}/users/{user}
		GET,POST:json         /organization/roles
		GET,POST:json,DELETE  /organization/roles/{role}
		GET,POST:json         /organization/spend_alerts
		GET,POST:json,DELETE  /organization/spend_alerts/{alert}
		GET,POST:json,DELETE  /organization/spend_limit
		GET                   /organization/usage/audio_speeches
		GET                   /organization/usage/audio_transcriptions
		GET                   /organization/usage/code_interpreter_sessions
		GET                   /organization/usage/completions
		GET                   /organization/usage/decisions
		GET                   /organization/usage/embeddings
		GET                   /organization/usage/file_search_calls
		GET                   /organization/usage/images
		GET                   /organization/usage/moderations
		GET                   /organization/usage/vector_stores
		GET                   /organization/usage/web_search_calls
		GET                   /organization/users
		GET,POST:json,DELETE  /organization/users/{user}
		GET,POST:json         /organization/users/{user}/roles
		GET,DELETE            /organization/users/{user}/roles/{role}
		GET,POST:json         /organization/workload_identity_providers
		GET,POST:json,DELETE  /organization/workload_identity_providers/{workload_identity_provider}
		GET,POST:json         /organization/workload_identity_providers/{workload_identity_provider}/federation_rules
		GET,POST:json,DELETE  /organization/workload_identity_providers/{workload_identity_provider}/federation_rules/{workload_identity_federation_rule}
		GET,POST:json         /projects/{project}/groups/{group}/roles
		GET,DELETE            /projects/{project}/groups/{group}/roles/{role}
		GET,POST:json         /projects/{project}/roles
		GET,POST:json,DELETE  /projects/{project}/roles/{role}
		GET,POST:json         /projects/{project}/users/{user}/roles
		GET,DELETE            /projects/{project}/users/{user}/roles/{role}
`
