# The deployment as Terraform: template.yml beside this file says what is made, and is yours to change.
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "image" {
  description = "The image by digest, in a registry that the account can read."
  type        = string
}

variable "vpc" {
  type = string
}

variable "subnets" {
  description = "Subnets with a way out, behind a NAT gateway or public."
  type        = list(string)
}

variable "public_address" {
  description = "true in public subnets, whose way out is a public address."
  type        = bool
}

variable "database_security_group" {
  description = "The database's group, which lets the task in; empty where that is done elsewhere."
  type        = string
  default     = ""
}

resource "aws_cloudformation_stack" "kitamae" {
  name          = "@NAME@"
  template_body = file("${path.module}/template.yml")
  capabilities  = ["CAPABILITY_NAMED_IAM"]
  parameters = {
    Image                 = var.image
    Vpc                   = var.vpc
    Subnets               = join(",", var.subnets)
    PublicAddress         = var.public_address ? "ENABLED" : "DISABLED"
    DatabaseSecurityGroup = var.database_security_group
  }
}

output "task_role" {
  description = "What the warehouse must trust."
  value       = aws_cloudformation_stack.kitamae.outputs["TaskRole"]
}
