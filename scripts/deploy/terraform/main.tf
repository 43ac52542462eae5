# The AWS side of what scripts/setup makes: Role Y, its trust, the right of Role X to assume it, the EKS access entry; and,
# where no role is named, Role X itself with an EKS Pod Identity association. RBAC in the cluster is not here: scripts/setup.

data "aws_eks_cluster" "this" {
  name = var.cluster_name
}

data "aws_caller_identity" "this" {}

locals {
  make_role_x  = var.role_x_arn == ""
  role_x_arn   = local.make_role_x ? aws_iam_role.x[0].arn : var.role_x_arn
  role_x_parts = split("/", local.role_x_arn)
  assume       = ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"]
}

data "aws_iam_policy_document" "trust_x" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [data.aws_eks_cluster.this.arn]
    }
  }
}

resource "aws_iam_role" "x" {
  count                = local.make_role_x ? 1 : 0
  name                 = "pratique-x-${var.cluster_name}"
  description          = "The gateway's own role, by EKS Pod Identity"
  assume_role_policy   = data.aws_iam_policy_document.trust_x.json
  permissions_boundary = var.permissions_boundary
  tags                 = { "managed-by" = "terraform" }
}

resource "aws_eks_pod_identity_association" "x" {
  count           = local.make_role_x ? 1 : 0
  cluster_name    = var.cluster_name
  namespace       = var.gateway_namespace
  service_account = var.gateway_service_account
  role_arn        = local.role_x_arn
}

data "aws_iam_policy_document" "x" {
  statement {
    actions   = local.assume
    resources = [aws_iam_role.y.arn]
  }
  statement {
    actions   = ["eks:DescribeCluster"]
    resources = [data.aws_eks_cluster.this.arn]
  }
}

resource "aws_iam_role_policy" "x" {
  name   = "pratique-${var.cluster_name}"
  role   = local.role_x_parts[length(local.role_x_parts) - 1]
  policy = data.aws_iam_policy_document.x.json
}

data "aws_iam_policy_document" "trust_y" {
  statement {
    actions = local.assume
    principals {
      type        = "AWS"
      identifiers = [local.role_x_arn]
    }
  }
}

resource "aws_iam_role" "y" {
  name                 = "pratique-${var.cluster_name}"
  description          = "Role Y: has no permissions in AWS, is only who the cluster knows"
  assume_role_policy   = data.aws_iam_policy_document.trust_y.json
  max_session_duration = 3600
  permissions_boundary = var.permissions_boundary
  tags                 = { "managed-by" = "terraform" }
}

resource "aws_eks_access_entry" "y" {
  cluster_name      = var.cluster_name
  principal_arn     = aws_iam_role.y.arn
  type              = "STANDARD"
  kubernetes_groups = [var.kubernetes_group]

  lifecycle {
    replace_triggered_by = [aws_iam_role.y.unique_id] # the entry binds the role's unique id, not its name
  }
}
