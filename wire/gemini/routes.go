package gemini

import (
	"andon/correction"
	"andon/wire"
	"andon/wire/route"
)

// The routes below /v1beta and /v1alpha are those of the Gemini API's public
// reference, and what google.golang.org/genai v1.77.0 calls. Those of models and
// tuned models that name a method after the model are in methods.

// kept is a route about something that the provider keeps.
func kept(api string, f correction.Features) wire.Route {
	return wire.Route{API: api, Op: wire.OpStored, Features: f}
}

// answers is kept, and hands out what a model put out.
func answers(api string, f correction.Features) wire.Route {
	return wire.Route{API: api, Op: wire.OpStored, Features: f, Answers: true}
}

var table = route.NewTable(
	route.On(wire.Route{API: Models, Op: wire.OpListModels}, `GET /models`),

	route.On(wire.Route{API: "gemini.files", Op: wire.OpFile, Features: correction.Files}, `
		POST:json /files
		POST:json /files:register
	`),
	route.On(kept("gemini.files", 0), `
		GET        /files
		GET,DELETE /files/{file}
	`),
	route.On(answers("gemini.files", correction.Files), `
		GET /files/{file}:download
		GET /generatedFiles
		GET /generatedFiles/{generated_file}
		GET /generatedFiles/{generated_file}/operations/{operation}
	`),

	route.On(wire.Route{API: "gemini.cachedContents", Op: wire.OpStored, ModelIn: wire.ModelInBody, Named: true, Features: correction.StoredConversations}, `
		POST:json /cachedContents
	`),
	route.On(kept("gemini.cachedContents", 0), `
		GET                   /cachedContents
		GET,PATCH:json,DELETE /cachedContents/{cached_content}
	`),

	route.On(answers(Batches, 0), `
		GET        /batches
		GET,DELETE /batches/{batch}
	`),
	route.On(kept(Batches, 0), `
		POST:none  /batches/{batch}:cancel
		PATCH:json /batches/{batch}:updateGenerateContentBatch
		PATCH:json /batches/{batch}:updateEmbedContentBatch
	`),

	route.On(wire.Route{API: "gemini.tunedModels", Op: wire.OpFineTune, ModelIn: wire.ModelInBody, Features: correction.FineTuneCreate}, `
		POST:json /tunedModels
	`),
	route.On(kept("gemini.tunedModels", 0), `
		GET                   /tunedModels
		GET,PATCH:json,DELETE /tunedModels/{model}
		GET                   /tunedModels/{model}/operations
		GET                   /tunedModels/{model}/operations/{operation}
		POST:none             /tunedModels/{model}/operations/{operation}:cancel
		GET                   /tunedModels/{model}/permissions
		GET,PATCH:json,DELETE /tunedModels/{model}/permissions/{permission}
	`),
	route.On(wire.Route{API: "gemini.tunedModels", Op: wire.OpAccount, Features: correction.FineTuneServe}, `
		POST:json /tunedModels/{model}/permissions
		POST:json /tunedModels/{model}:transferOwnership
	`),
	route.On(answers("gemini.operations", 0), `
		GET        /models/{model}/operations
		GET        /models/{model}/operations/{operation}
		GET        /operations
		GET,DELETE /operations/{operation}
	`),
	route.On(kept("gemini.operations", 0), `POST:none /operations/{operation}:cancel`),

	route.On(kept("gemini.fileSearchStores", correction.FileSearch), `
		POST:json /fileSearchStores
		POST:json /fileSearchStores/{file_search_store}:importFile
	`),
	route.On(kept("gemini.fileSearchStores", 0), `
		GET        /fileSearchStores
		GET,DELETE /fileSearchStores/{file_search_store}
		GET        /fileSearchStores/{file_search_store}/documents
		GET,DELETE /fileSearchStores/{file_search_store}/documents/{document}
		GET        /fileSearchStores/{file_search_store}/operations/{operation}
		GET        /fileSearchStores/{file_search_store}/upload/operations/{operation}
	`),
	route.On(kept("gemini.corpora", correction.FileSearch), `
		POST:json /corpora
		POST:json /corpora/{corpus}/permissions
	`),
	route.On(kept("gemini.corpora", 0), `
		GET                   /corpora
		GET,DELETE            /corpora/{corpus}
		GET                   /corpora/{corpus}/operations/{operation}
		GET                   /corpora/{corpus}/permissions
		GET,PATCH:json,DELETE /corpora/{corpus}/permissions/{permission}
	`),

	route.On(wire.Route{API: "gemini.interactions", Op: wire.OpRun, ModelIn: wire.ModelInBody, SSE: true, Features: correction.StoredConversations}, `
		POST:json /interactions
	`),
	route.On(wire.Route{API: "gemini.interactions", Op: wire.OpStored, Answers: true, SSE: true, Features: correction.StoredConversations}, `
		GET,DELETE /interactions/{interaction}
	`),
	route.On(answers("gemini.interactions", 0), `POST:none /interactions/{interaction}/cancel`),
	route.On(wire.Route{API: "gemini.agents", Op: wire.OpRun}, `
		POST:json            /agents
		POST:json            /triggers
		PATCH:json           /triggers/{trigger}
		POST:json            /triggers/{trigger}/executions
	`),
	route.On(kept("gemini.agents", 0), `
		GET        /agents
		GET,DELETE /agents/{agent}
		GET        /triggers
		GET,DELETE /triggers/{trigger}
		GET        /triggers/{trigger}/executions
	`),
	route.On(kept("gemini.environments", correction.CodeExecution), `POST:json /environments`),
	route.On(kept("gemini.environments", 0), `
		GET        /environments
		GET,DELETE /environments/{environment}
	`),
	route.On(kept("gemini.voices", correction.AudioOutput), `POST:json /voices`),
	route.On(kept("gemini.voices", 0), `
		GET        /voices
		GET,DELETE /voices/{voice}
	`),
	route.On(wire.Route{API: "gemini.account", Op: wire.OpAccount}, `
		GET,POST:json         /credentials
		GET,PATCH:json,DELETE /credentials/{credential}
		GET,POST:json         /webhooks
		GET,PATCH:json,DELETE /webhooks/{webhook}
		POST:json             /webhooks/{webhook}:ping
		POST:json             /webhooks/{webhook}:rotateSigningSecret
	`),
	route.On(wire.Route{API: "gemini.auth_tokens", Op: wire.OpRealtime, Features: correction.Realtime}, `POST:json /auth_tokens`),
)

// uploads stand below /upload/v1beta and /upload/v1alpha. What is sent there is
// a file, or the part of one, in any of Google's upload protocols.
var uploads = route.NewTable(
	route.On(wire.Route{API: "gemini.files", Op: wire.OpFile, Features: correction.Files}, `
		POST:any,PUT:any /files
	`),
	route.On(wire.Route{API: "gemini.fileSearchStores", Op: wire.OpFile, Features: correction.Files | correction.FileSearch}, `
		POST:any,PUT:any /fileSearchStores/{file_search_store}:uploadToFileSearchStore
	`),
)

// methods are what a model can be asked, below models and tunedModels alike;
// what ends in predict is what Google's own media models take.
var methods = map[string]wire.Route{
	"generateContent":        {API: Generate, Op: wire.OpGenerate},
	"streamGenerateContent":  {API: Stream, Op: wire.OpGenerate, Stream: true, Features: correction.Streaming},
	"countTokens":            {API: CountTokens, Op: wire.OpCountTokens},
	"embedContent":           {API: Embed, Op: wire.OpEmbed, Features: correction.Embeddings},
	"batchEmbedContents":     {API: BatchEmbed, Op: wire.OpEmbed, Features: correction.Embeddings},
	"batchGenerateContent":   {API: Batches, Op: wire.OpBatch, Features: correction.Batch},
	"asyncBatchEmbedContent": {API: Batches, Op: wire.OpBatch, Features: correction.Batch | correction.Embeddings},
	"predict":                {API: "gemini.predict", Op: wire.OpImage, Features: correction.ImageOutput},
	"predictLongRunning":     {API: "gemini.predict", Op: wire.OpImage, Features: correction.ImageOutput},
}

// sockets open realtime sessions, which name their model in their first message.
var sockets = [...]string{
	"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
	"/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContent",
	"/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained",
}
