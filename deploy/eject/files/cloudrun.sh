#!/usr/bin/env bash
# deploy.sh PROJECT REGION: the Cloud Run job and its schedule. May be run again.
set -euo pipefail
project=$1 region=$2
here=$(dirname "${BASH_SOURCE[0]}")
account=@NAME@@$project.iam.gserviceaccount.com
g() { gcloud --quiet --project "$project" "$@"; }

g iam service-accounts describe "$account" >/dev/null 2>&1 || g iam service-accounts create "@NAME@"
g secrets describe "@NAME@-config" >/dev/null 2>&1 || g secrets create "@NAME@-config"
g secrets versions add "@NAME@-config" --data-file="@FILE@"
g secrets add-iam-policy-binding "@NAME@-config" --member="serviceAccount:$account" --role=roles/secretmanager.secretAccessor
g run jobs replace "$here/cloudrun.yml" --region "$region"
g run jobs add-iam-policy-binding "@NAME@" --region "$region" --member="serviceAccount:$account" --role=roles/run.invoker

uri=https://run.googleapis.com/v2/projects/$project/locations/$region/jobs/@NAME@:run
verb=create
if g scheduler jobs describe "@NAME@" --location "$region" >/dev/null 2>&1; then verb=update; fi
g scheduler jobs "$verb" http "@NAME@" --location "$region" --schedule "@CRON@" --time-zone "@ZONE@" \
	--uri "$uri" --http-method POST --oauth-service-account-email "$account"
