package control

// roomSchemas are the OpenAPI schemas of all rooms, with the types that they describe.
var roomSchemas = joined(authoritySchemas, planSchemas, readinessSchemas, peopleSchemas, joinSchemas, caSchemas, signingSchemas, incidentSchemas, decisionSchemas, playbookSchemas, evidenceSchemas, termsSchemas, witnessSchemas, restoreSchemas, concernSchemas, exchangeSchemas, alertSchemas, retentionSchemas)
