variable "cluster_name" {
  type        = string
  description = "Name of the EKS cluster. Its authentication mode must have API."
}

variable "role_x_arn" {
  type        = string
  default     = ""
  description = "ARN of the gateway's own role, if there is one. Empty makes one for EKS Pod Identity."
}

variable "kubernetes_group" {
  type        = string
  default     = "pratique:agents"
  description = "Group of Role Y in the cluster. scripts/setup binds it to the rights that the policies need."
}

variable "gateway_namespace" {
  type    = string
  default = "pratique"
}

variable "gateway_service_account" {
  type    = string
  default = "pratique"
}

variable "permissions_boundary" {
  type        = string
  default     = null
  description = "ARN of a permissions boundary for the roles."
}
